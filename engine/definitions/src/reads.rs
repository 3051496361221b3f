//! What a computation reads of its inputs, as exactly as it is known before it runs.

use datafusion::logical_expr::Expr;

/// What the result of a computation depends on: if all of it is the same, so is the result.
#[derive(Debug, Clone, PartialEq)]
pub struct Reads {
    /// Says the computation itself: the same text means the same rows for the same inputs.
    pub code: String,
    /// What is read of the inputs; an input may be read in several ways.
    pub scans: Vec<Scan>,
    /// Why the result also depends on something else, if it does: it is then computed each time.
    pub unknowable: Option<String>,
}

/// Columns and rows of an input that a computation reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// The name by which the computation asks for the input.
    pub input: String,
    /// The columns that it reads, in the order of the input; none if it only counts rows.
    pub columns: Vec<String>,
    /// Rows for which one of these is not true change nothing; columns have no relation.
    pub filters: Vec<Expr>,
}
