//! The language of sets of partitions.
//!
//! ```text
//! set  : term (',' term)*            each term is added, or taken away with `!`
//! term : '!'? (range | word | parts)
//! range: key | key...key | key... | ...key        both ends included
//! word : all | missing | materialized | latest | latest(N)
//! parts: range ('|' range)*          one for each dimension; `dimension=range` names one
//! ```
//!
//! A part of a time such as `2013` or `2013-02` is all windows that begin in it. A key with a comma
//! or another sign of the language stands in double quotes.

use std::fmt;
use std::str::FromStr;

use super::keys::{DimensionKeys, Values};
use super::{PartitionKeys, PartitionSet};

/// A set of partitions as it is written; which they are depends on the asset and the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionExpr {
    text: String,
    terms: Vec<(bool, Term)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    All,
    Missing,
    Materialized,
    Latest(u32),
    /// A range for each dimension, some of which are named.
    Parts(Vec<(Option<String>, Range)>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    first: Option<String>,
    last: Option<String>,
    /// Whether it is one key, and both ends are the same.
    is_single: bool,
}

/// Why a text is no set of partitions, or names one that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionExprError {
    /// One sentence.
    pub message: String,
    /// The nearest key.
    pub nearest: Option<String>,
}

impl fmt::Display for PartitionExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PartitionExprError {}

fn error(message: impl Into<String>) -> PartitionExprError {
    PartitionExprError { message: message.into(), nearest: None }
}

impl fmt::Display for PartitionExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Cuts at a sign that is not inside of quotes.
fn split(text: &str, sign: char) -> Vec<String> {
    let (mut parts, mut quoted) = (vec![String::new()], false);
    for character in text.chars() {
        quoted ^= character == '"';
        if character == sign && !quoted {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts
}

fn unquoted(text: &str) -> String {
    let text = text.trim();
    let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inside.unwrap_or(text).to_owned()
}

impl FromStr for PartitionExpr {
    type Err = PartitionExprError;

    fn from_str(text: &str) -> Result<Self, PartitionExprError> {
        if text.matches('"').count() % 2 == 1 {
            return Err(error(format!("a quote in `{text}` is not closed")));
        }
        let mut terms = Vec::new();
        for term in split(text, ',') {
            let term = term.trim();
            let (added, term) = match term.strip_prefix('!') {
                Some(term) => (false, term.trim()),
                None => (true, term),
            };
            if term.is_empty() {
                return Err(error(format!("`{text}` is no set of partitions: a part is empty")));
            }
            terms.push((added, parse_term(term)?));
        }
        Ok(Self { text: text.trim().to_owned(), terms })
    }
}

fn parse_term(text: &str) -> Result<Term, PartitionExprError> {
    Ok(match text {
        "all" => Term::All,
        "missing" => Term::Missing,
        "materialized" => Term::Materialized,
        "latest" => Term::Latest(1),
        _ => {
            let count = text.strip_prefix("latest(").and_then(|rest| rest.strip_suffix(')'));
            if let Some(count) = count {
                let count = count.trim().parse().map_err(|_| {
                    error(format!("`{text}` counts from the end: write `latest(7)`"))
                })?;
                return Ok(Term::Latest(count));
            }
            Term::Parts(split(text, '|').iter().map(|part| parse_part(part)).collect())
        }
    })
}

fn parse_part(text: &str) -> (Option<String>, Range) {
    let (name, text) = match split(text, '=').as_slice() {
        [name, rest] => (Some(unquoted(name)), rest.clone()),
        _ => (None, text.to_owned()),
    };
    let end = |text: &str| Some(unquoted(text)).filter(|key| !key.is_empty());
    let mut dots = text.match_indices("...").map(|(at, _)| at);
    let outside_of_quotes = |at: &usize| text[..*at].matches('"').count().is_multiple_of(2);
    let range = match dots.find(outside_of_quotes) {
        Some(at) => {
            let (first, last) = (end(&text[..at]), end(&text[at + "...".len()..]));
            Range { first, last, is_single: false }
        }
        None => Range { first: end(&text), last: end(&text), is_single: true },
    };
    (name, range)
}

impl PartitionExpr {
    /// The partitions that it means.
    ///
    /// # Errors
    /// If a key or a dimension does not exist.
    pub fn evaluate(
        &self,
        keys: &PartitionKeys,
        materialized: &PartitionSet,
    ) -> Result<PartitionSet, PartitionExprError> {
        // What begins with taking away takes from everything.
        let begins_with_all = self.terms.first().is_some_and(|(added, _)| !added);
        let mut set = if begins_with_all { keys.all() } else { PartitionSet::empty() };
        for (added, term) in &self.terms {
            let of_term = match term {
                Term::All => keys.all(),
                Term::Missing => keys.all().difference(materialized),
                Term::Materialized => materialized.intersection(&keys.all()),
                Term::Latest(count) => keys.all().last(*count),
                Term::Parts(parts) => of_parts(keys, parts)?,
            };
            set = if *added { set.union(&of_term) } else { set.difference(&of_term) };
        }
        Ok(set)
    }
}

fn of_parts(
    keys: &PartitionKeys,
    parts: &[(Option<String>, Range)],
) -> Result<PartitionSet, PartitionExprError> {
    if let ([dimension], [(None, range)]) = (&*keys.dimensions, parts) {
        return of_range(dimension, range);
    }
    let is_named = parts.iter().any(|(name, _)| name.is_some());
    let mut sets: Vec<PartitionSet> = Vec::new();
    for (i, dimension) in keys.dimensions.iter().enumerate() {
        let part = if is_named {
            parts.iter().find(|(name, _)| name.as_ref() == Some(&dimension.name))
        } else {
            parts.get(i)
        };
        sets.push(match part {
            Some((_, range)) => of_range(dimension, range)?,
            None if is_named => PartitionSet::first(dimension.len()),
            None => return Err(wrong_parts(keys, parts.len())),
        });
    }
    if !is_named && parts.len() != keys.dimensions.len() {
        return Err(wrong_parts(keys, parts.len()));
    }
    for (name, _) in parts {
        let names = || keys.dimensions.iter().map(|dimension| dimension.name.as_str());
        match name {
            Some(name) if !names().any(|known| known == name) => {
                let nearest = crate::nearest(name, names()).map(str::to_owned);
                let message = format!("there is no dimension `{name}`");
                return Err(PartitionExprError { message, nearest });
            }
            None if is_named => {
                return Err(error("either all parts name their dimension, or none"));
            }
            _ => {}
        }
    }
    let mut combinations: Vec<Vec<u32>> = vec![Vec::new()];
    for set in &sets {
        combinations = combinations
            .iter()
            .flat_map(|before| set.iter().map(|part| [before.as_slice(), &[part]].concat()))
            .collect();
    }
    Ok(combinations.iter().map(|parts| keys.index_of_parts(parts)).collect())
}

fn wrong_parts(keys: &PartitionKeys, found: usize) -> PartitionExprError {
    let names: Vec<&str> = keys.dimensions.iter().map(|d| d.name.as_str()).collect();
    error(format!("a key has {} parts, `{}`, and not {found}", names.len(), names.join("|")))
}

fn of_range(dimension: &DimensionKeys, range: &Range) -> Result<PartitionSet, PartitionExprError> {
    let bounds = |key: &str| bounds_of(dimension, key);
    let Some(count) = dimension.len().checked_sub(1) else {
        return match &range.first {
            Some(key) => Err(nonexistent(dimension, key)),
            None => Ok(PartitionSet::empty()),
        };
    };
    let first = match &range.first {
        Some(key) => bounds(key)?.0,
        None => 0,
    };
    let last = match &range.last {
        Some(key) => bounds(key)?.1,
        None => count,
    };
    if first > last && !range.is_single {
        let (first, last) = (range.first.as_deref(), range.last.as_deref());
        return Err(error(format!(
            "`{}...{}` is empty: the first key comes after the last",
            first.unwrap_or_default(),
            last.unwrap_or_default()
        )));
    }
    Ok(PartitionSet::range(first..=last))
}

/// The first and last partition of a key, or of a part of a time.
fn bounds_of(dimension: &DimensionKeys, key: &str) -> Result<(u32, u32), PartitionExprError> {
    if let Some(found) = dimension.find(key) {
        return Ok((found, found));
    }
    if let Values::Time { definition, windows } = &dimension.values
        && let Some((start, end)) = span_of(key)
    {
        let before = |moment| windows.partition_point(|w| definition.local(w.start) < moment);
        let (first, after) = (before(start), before(end));
        if let (Ok(first), Ok(last)) =
            (u32::try_from(first), u32::try_from(after.saturating_sub(1)))
            && after > first as usize
        {
            return Ok((first, last));
        }
    }
    Err(nonexistent(dimension, key))
}

fn nonexistent(dimension: &DimensionKeys, key: &str) -> PartitionExprError {
    let known = match dimension.len() {
        0 => "there is none yet".to_owned(),
        count => {
            let (first, last) = (dimension.key(0), dimension.key(count - 1));
            format!("the keys go from `{first}` to `{last}`")
        }
    };
    let single = PartitionKeys { dimensions: vec![dimension.clone()] };
    let nearest = single.nearest(key);
    let message = match &dimension.values {
        Values::Time { .. } => format!("there is no partition `{key}`; {known}"),
        Values::Named { .. } => format!("there is no partition `{key}`"),
    };
    PartitionExprError { message, nearest }
}

/// The wall clock from the beginning of a year, month or day until that of the next.
fn span_of(text: &str) -> Option<(jiff::civil::DateTime, jiff::civil::DateTime)> {
    use jiff::ToSpan;
    let date = |text: &str| text.parse::<jiff::civil::Date>().ok();
    let (start, span) = match text.len() {
        4 => (date(&format!("{text}-01-01"))?, 1.year()),
        7 => (date(&format!("{text}-01"))?, 1.month()),
        10 => (date(text)?, 1.day()),
        _ => return None,
    };
    let end = start.checked_add(span).ok()?;
    let midnight = jiff::civil::Time::midnight();
    Some((start.to_datetime(midnight), end.to_datetime(midnight)))
}
