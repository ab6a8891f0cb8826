//! A statement put together at run time: text and bound values side by side, for lists and for many rows at once.
//!
//! Not here: the statements of the upload's way, which diesel's builder writes and every engine keeps prepared.
//! Values are always bound; only constants of this crate become text.

use diesel::{
    query_builder::{BoxedSqlQuery, SqlQuery},
    sql_types::{BigInt, Binary, Bool, Nullable, Text},
};

use super::{Backend, placeholder};

enum Value {
    Int(i64),
    Text(Option<String>),
    Bytes(Vec<u8>),
    Bool(bool),
}

/// Text with bound values.
#[derive(Default)]
pub(super) struct Statement {
    text: String,
    values: Vec<Value>,
}

impl Statement {
    pub(super) fn new(sql: &str) -> Self {
        Self { text: sql.to_owned(), values: Vec::new() }
    }

    /// Appends constant text.
    pub(super) fn sql(&mut self, sql: &str) -> &mut Self {
        self.text.push_str(sql);
        self
    }

    fn bind(&mut self, value: Value) -> &mut Self {
        self.values.push(value);
        self.text.push_str(&placeholder(self.values.len()));
        self
    }

    /// Appends a bound number.
    pub(super) fn int(&mut self, value: i64) -> &mut Self {
        self.bind(Value::Int(value))
    }

    /// Appends a bound text.
    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.bind(Value::Text(Some(value.to_owned())))
    }

    /// Appends a bound text or NULL.
    pub(super) fn nullable_text(&mut self, value: Option<&str>) -> &mut Self {
        self.bind(Value::Text(value.map(str::to_owned)))
    }

    /// Appends bound bytes.
    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.bind(Value::Bytes(value.to_owned()))
    }

    /// Appends a bound truth.
    pub(super) fn bool(&mut self, value: bool) -> &mut Self {
        self.bind(Value::Bool(value))
    }

    /// Appends `(…)` of bound texts; of none: a list that holds nothing.
    pub(super) fn texts<'t>(&mut self, values: impl IntoIterator<Item = &'t str>) -> &mut Self {
        self.list(values, |s, v| {
            s.text(v);
        })
    }

    /// Appends `(…)` of bound numbers.
    pub(super) fn ints(&mut self, values: impl IntoIterator<Item = i64>) -> &mut Self {
        self.list(values, |s, v| {
            s.int(v);
        })
    }

    /// Appends `(…)` of bound byte strings.
    pub(super) fn byte_strings<'b>(&mut self, values: impl IntoIterator<Item = &'b [u8]>) -> &mut Self {
        self.list(values, |s, v| {
            s.bytes(v);
        })
    }

    fn list<T>(&mut self, values: impl IntoIterator<Item = T>, mut one: impl FnMut(&mut Self, T)) -> &mut Self {
        self.sql("(");
        let mut any = false;
        for value in values {
            if any {
                self.sql(", ");
            }
            any = true;
            one(self, value);
        }
        // `IN ()` is SQLite's alone.
        self.sql(if any { ")" } else { "NULL)" })
    }

    /// As a query that diesel runs.
    pub(super) fn query(self) -> BoxedSqlQuery<'static, Backend, SqlQuery> {
        let mut query = diesel::sql_query(self.text).into_boxed::<Backend>();
        for value in self.values {
            query = match value {
                Value::Int(v) => query.bind::<BigInt, _>(v),
                Value::Text(v) => query.bind::<Nullable<Text>, _>(v),
                Value::Bytes(v) => query.bind::<Binary, _>(v),
                Value::Bool(v) => query.bind::<Bool, _>(v),
            };
        }
        query
    }
}
