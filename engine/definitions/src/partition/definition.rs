//! What the partitions of an asset are.

use std::collections::BTreeSet;
use std::fmt;

use super::TimeWindows;

/// The name of the only dimension of partitions that name none.
pub(super) const ONLY: &str = "partition";

/// How the rows of an asset are cut: by one dimension, or by several at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Partitions {
    /// Sorted by name, which is the order of the parts of a key; at least one.
    pub dimensions: Vec<Dimension>,
    /// How many partitions one step computes.
    pub policy: BackfillPolicy,
    /// What becomes of rows that are in none of the partitions that a step computes.
    pub outside: OutsideRows,
}

/// One way to cut.
#[derive(Debug, Clone, PartialEq)]
pub struct Dimension {
    /// Its name; `partition` if there is only one.
    pub name: String,
    /// The column whose values say to which partition a row belongs.
    pub column: Option<String>,
    /// Its keys.
    pub kind: DimensionKind,
}

/// Where the keys of a dimension come from.
#[derive(Debug, Clone, PartialEq)]
pub enum DimensionKind {
    /// They are listed.
    Static(Vec<String>),
    /// They are windows of time.
    Time(Box<TimeWindows>),
    /// They are added and deleted while nothing is defined anew; the name of their list.
    Dynamic(String),
}

/// How many partitions one step computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackfillPolicy {
    /// All that are asked for, by one query.
    #[default]
    SingleRun,
    /// At most so many.
    MultiRun(u32),
}

/// What becomes of rows that are in none of the partitions that a step computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutsideRows {
    /// The step fails.
    #[default]
    Refuse,
    /// They are left out.
    Drop,
}

impl Partitions {
    /// One dimension.
    pub fn new(kind: DimensionKind) -> Self {
        Self::of([Dimension { name: ONLY.to_owned(), column: None, kind }])
    }

    /// Several dimensions; their order is that of their names.
    pub fn of(dimensions: impl IntoIterator<Item = Dimension>) -> Self {
        let mut dimensions: Vec<Dimension> = dimensions.into_iter().collect();
        dimensions.sort_by(|a, b| a.name.cmp(&b.name));
        Self { dimensions, policy: BackfillPolicy::default(), outside: OutsideRows::default() }
    }

    /// Listed keys.
    pub fn listed<S: Into<String>>(keys: impl IntoIterator<Item = S>) -> Self {
        Self::new(DimensionKind::Static(keys.into_iter().map(Into::into).collect()))
    }

    /// Windows of time.
    pub fn time(windows: TimeWindows) -> Self {
        Self::new(DimensionKind::Time(Box::new(windows)))
    }

    /// The partitions, by the values of a column of the asset.
    #[must_use]
    pub fn by_column(mut self, column: impl Into<String>) -> Self {
        if let [only] = self.dimensions.as_mut_slice() {
            only.column = Some(column.into());
        }
        self
    }

    /// The partitions, computed by this policy.
    #[must_use]
    pub fn with_policy(mut self, policy: BackfillPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The partitions, with this said about other rows.
    #[must_use]
    pub fn with_outside(mut self, outside: OutsideRows) -> Self {
        self.outside = outside;
        self
    }

    /// The windows of time, if there is exactly one dimension of them.
    pub fn windows(&self) -> Option<&TimeWindows> {
        let mut found = self.dimensions.iter().filter_map(|dimension| match &dimension.kind {
            DimensionKind::Time(windows) => Some(&**windows),
            _ => None,
        });
        let windows = found.next()?;
        found.next().is_none().then_some(windows)
    }

    /// Whether both have the same keys.
    pub fn same_keys(&self, other: &Self) -> bool {
        let kinds = |of: &Self| {
            of.dimensions.iter().map(|d| (d.name.clone(), d.kind.clone())).collect::<Vec<_>>()
        };
        kinds(self) == kinds(other)
    }

    /// What is wrong with the definition alone, each in one sentence.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut names = BTreeSet::new();
        for dimension in &self.dimensions {
            if !names.insert(&dimension.name) {
                problems.push(format!("dimension `{}` is defined twice", dimension.name));
            }
            let DimensionKind::Static(keys) = &dimension.kind else { continue };
            if keys.is_empty() {
                problems.push("there is no partition key".to_owned());
            }
            let mut seen = BTreeSet::new();
            for key in keys {
                if let Err(why) = check_key(key) {
                    problems.push(why);
                } else if !seen.insert(key) {
                    problems.push(format!("partition key `{key}` is listed twice"));
                }
            }
        }
        problems
    }
}

/// What a partition key may be: it is part of paths, and of the language of sets.
///
/// # Errors
/// One sentence.
pub fn check_key(key: &str) -> Result<(), String> {
    let why = if key.is_empty() {
        "it is empty"
    } else if key.contains("...") {
        "`...` makes a range"
    } else if key.contains('|') {
        "`|` joins the parts of a key"
    } else if key.contains('"') {
        "a key stands between quotes where it would mean something else"
    } else if key.contains(char::is_control) {
        "it has a control character"
    } else {
        return Ok(());
    };
    Err(format!("`{key}` is no partition key: {why}"))
}

impl fmt::Display for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, dimension) in self.dimensions.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if self.dimensions.len() > 1 {
                write!(f, "{}: ", dimension.name)?;
            }
            match &dimension.kind {
                DimensionKind::Static(keys) => write!(f, "{} listed keys", keys.len())?,
                DimensionKind::Time(windows) => windows.fmt(f)?,
                DimensionKind::Dynamic(name) => write!(f, "dynamic `{name}`")?,
            }
        }
        Ok(())
    }
}
