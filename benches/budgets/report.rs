//! Medians, and the table that shows them beside the goals.
//!
//! Not here: measuring. A row holds pairs, product and reference of the same round, and its verdict is that of the
//! median of the pairs' ratios.

use comfy_table::{Cell, CellAlignment, Table, presets};

/// Values of the rounds.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }

    fn most(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::max)
    }

    fn shown(&self) -> String {
        match self.0.as_slice() {
            [] => String::new(),
            [one] => number(*one),
            _ => format!("{} ({} .. {})", number(self.median()), number(self.least()), number(self.most())),
        }
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.3}"),
        middling if middling < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// What the value that is judged must be.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// Shown beside the others, judged by nobody.
    None,
}

/// A line of the table.
#[derive(Debug)]
pub struct Row {
    /// `B1`.
    pub budget: &'static str,
    pub what: String,
    /// Of `product` and `reference`.
    pub unit: &'static str,
    pub product: Samples,
    /// Empty: the goal is absolute.
    pub reference: Samples,
    /// What is judged: the ratio of each round, or where the goal is absolute the value itself.
    pub judged: Samples,
    pub goal: Goal,
}

impl Row {
    /// A row without values yet.
    pub fn new(budget: &'static str, what: impl Into<String>, unit: &'static str, goal: Goal) -> Self {
        let (product, reference, judged) = Default::default();
        Self { budget, what: what.into(), unit, product, reference, judged, goal }
    }

    /// A round whose judged value is product over reference.
    pub fn ratio(&mut self, product: f64, reference: f64) {
        self.pair(product, reference, product / reference);
    }

    /// A round with its judged value.
    pub fn pair(&mut self, product: f64, reference: f64, judged: f64) {
        self.product.push(product);
        self.reference.push(reference);
        self.judged.push(judged);
    }

    /// A round of a row with an absolute goal.
    pub fn value(&mut self, product: f64) {
        self.product.push(product);
        self.judged.push(product);
    }

    fn goal_and_verdict(&self) -> (String, &'static str) {
        let median = self.judged.median();
        let (text, holds) = match self.goal {
            Goal::AtMost(most) => (format!("<= {}", number(most)), median <= most),
            Goal::AtLeast(least) => (format!(">= {}", number(least)), median >= least),
            Goal::None => return (String::new(), ""),
        };
        (text, if holds { "ok" } else { "MISSED" })
    }

    /// In one line, as soon as it is known.
    pub fn told(&self) -> String {
        let (goal, verdict) = self.goal_and_verdict();
        format!("{} {}: {} {goal} {verdict}", self.budget, self.what, self.judged.shown())
    }
}

/// Prints the rows.
pub fn print(rows: &[Row]) {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["#", "what", "unit", "lhfile", "reference", "judged", "goal", "verdict"]);
    for row in rows {
        let (goal, verdict) = row.goal_and_verdict();
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        table.add_row([
            Cell::new(row.budget),
            Cell::new(&row.what),
            Cell::new(row.unit),
            right(row.product.shown()),
            right(row.reference.shown()),
            right(row.judged.shown()),
            Cell::new(goal),
            Cell::new(verdict),
        ]);
    }
    println!("\nMedians (least .. most); `judged` is the ratio of each round, or the value itself.\n\n{table}");
}
