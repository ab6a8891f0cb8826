//! Tests of the three decisions.
