//! Which columns of its inputs an asset's columns come from, and who is touched when one changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use crate::{AssetKey, Body, InputSchema, Resolved, ResolvedAsset, Scan};

/// How a column of an input goes into an asset. The words are OpenLineage's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Influence {
    /// Its values are those of the column.
    Identity,
    /// Its values are computed from it.
    Transformation,
    /// Its values are computed from it over many rows.
    Aggregation,
    /// It decides which rows there are.
    Filter,
    /// It decides which rows are put together.
    Join,
    /// It decides which rows are aggregated together, or are the same.
    GroupBy,
    /// It decides the order of rows, and with it which are the first.
    Sort,
    /// It decides which rows a window function looks at.
    Window,
    /// It is read, and it is not known what for.
    Unknown,
}

impl Influence {
    /// Whether values go into a column; otherwise it is about all rows.
    pub const fn is_direct(self) -> bool {
        matches!(self, Self::Identity | Self::Transformation | Self::Aggregation)
    }
}

impl fmt::Display for Influence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Identity => "identity",
            Self::Transformation => "transformation",
            Self::Aggregation => "aggregation",
            Self::Filter => "filter",
            Self::Join => "join",
            Self::GroupBy => "group by",
            Self::Sort => "sort",
            Self::Window => "window",
            Self::Unknown => "unknown",
        })
    }
}

/// What the columns and rows of a computation come from: each source is the name of an input and one of
/// its columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnLineage {
    /// For each column what goes into its values.
    pub direct: BTreeMap<String, BTreeSet<(String, String, Influence)>>,
    /// What all rows depend on.
    pub indirect: BTreeSet<(String, String, Influence)>,
}

/// A column of an asset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ColumnOf {
    /// The asset.
    pub asset: AssetKey,
    /// The column.
    pub column: String,
}

impl fmt::Display for ColumnOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.asset, self.column)
    }
}

/// A column that goes into a column, or into all rows of an asset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineageEdge {
    /// What goes in.
    pub from: ColumnOf,
    /// The asset into which it goes.
    pub to: AssetKey,
    /// The column of it; none if it decides about its rows.
    pub to_column: Option<String>,
    /// How.
    pub influence: Influence,
}

/// An asset that reads what changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affected {
    /// The asset.
    pub asset: AssetKey,
    /// The changed columns that it reads.
    pub reads: Vec<ColumnOf>,
    /// Those of its own columns that may change; none if all of them, since its rows may be others.
    pub columns: Option<BTreeSet<String>>,
}

impl Resolved {
    /// The sources of an asset. Where a computation does not tell, each column that it reads may decide
    /// about anything.
    fn lineage_of(&self, resolved: &ResolvedAsset) -> ColumnLineage {
        let inputs = resolved.inputs.iter().map(|input| InputSchema {
            name: &input.name,
            key: &input.key,
            schema: self.assets.get(&input.key).and_then(|of| of.schema.as_ref()),
        });
        let inputs: Vec<InputSchema<'_>> = inputs.collect();
        if let Body::Computed(compute) = &resolved.asset.body
            && let Some(lineage) = compute.lineage(&inputs)
        {
            return lineage;
        }
        let unknown =
            |input: &str, column: &str| (input.to_owned(), column.to_owned(), Influence::Unknown);
        let indirect = match &resolved.reads {
            Some(reads) => {
                let of = |scan: &Scan| {
                    scan.columns
                        .iter()
                        .map(|column| unknown(&scan.input, column))
                        .collect::<Vec<_>>()
                };
                reads.scans.iter().flat_map(of).collect()
            }
            None => {
                let known = inputs.iter().filter_map(|input| Some((input.name, input.schema?)));
                let columns = known.flat_map(|(name, schema)| {
                    schema.fields().iter().map(move |field| unknown(name, field.name()))
                });
                columns.collect()
            }
        };
        ColumnLineage { direct: BTreeMap::new(), indirect }
    }

    /// The edges into one asset.
    fn edges_into(&self, resolved: &ResolvedAsset) -> Vec<LineageEdge> {
        let lineage = self.lineage_of(resolved);
        let edge = |source: &(String, String, Influence), to_column: Option<&String>| {
            let input = resolved.inputs.iter().find(|input| input.name == source.0)?;
            let from = ColumnOf { asset: input.key.clone(), column: source.1.clone() };
            let (to, to_column) = (resolved.asset.key.clone(), to_column.cloned());
            Some(LineageEdge { from, to, to_column, influence: source.2 })
        };
        let direct = lineage.direct.iter();
        let direct = direct.flat_map(|(to, sources)| sources.iter().map(move |of| (of, Some(to))));
        let indirect = lineage.indirect.iter().map(|source| (source, None));
        direct.chain(indirect).filter_map(|(source, to)| edge(source, to)).collect()
    }

    /// Where the values of a column come from, back to the sources; what decides about the rows of the
    /// assets on the way is not followed any further.
    pub fn column_upstream(&self, of: &ColumnOf) -> Vec<LineageEdge> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::from([of.clone()]));
        let mut assets = BTreeSet::new();
        let mut pending = VecDeque::from([of.clone()]);
        while let Some(of) = pending.pop_front() {
            let Some(resolved) = self.asset(&of.asset) else { continue };
            let is_first = assets.insert(of.asset.clone());
            for edge in self.edges_into(resolved) {
                match &edge.to_column {
                    Some(column) if *column == of.column => {
                        if seen.insert(edge.from.clone()) {
                            pending.push_back(edge.from.clone());
                        }
                        found.push(edge);
                    }
                    None if is_first => found.push(edge),
                    _ => {}
                }
            }
        }
        found
    }

    /// Where the values of a column go, on and on; rows that depend on it are not followed any further.
    pub fn column_downstream(&self, of: &ColumnOf) -> Vec<LineageEdge> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::from([of.clone()]));
        let mut pending = VecDeque::from([of.clone()]);
        while let Some(of) = pending.pop_front() {
            for reader in self.graph.downstream(&of.asset) {
                let Some(resolved) = self.asset(&reader) else { continue };
                for edge in self.edges_into(resolved).into_iter().filter(|edge| edge.from == of) {
                    if let Some(column) = &edge.to_column {
                        let to = ColumnOf { asset: reader.clone(), column: column.clone() };
                        if seen.insert(to.clone()) {
                            pending.push_back(to);
                        }
                    }
                    found.push(edge);
                }
            }
        }
        found
    }

    /// Who reads what changes when the values of a column do, in the order of the graph; views are
    /// among them.
    pub fn affected_by(&self, changed: &ColumnOf) -> Vec<Affected> {
        // `None` is all columns.
        let mut changes: BTreeMap<&AssetKey, Option<BTreeSet<String>>> = BTreeMap::new();
        changes.insert(&changed.asset, Some(BTreeSet::from([changed.column.clone()])));
        let mut found = Vec::new();
        for key in self.graph.topological() {
            let Some(resolved) = self.asset(key).filter(|of| of.asset.key != changed.asset) else {
                continue;
            };
            let is_changed = |of: &ColumnOf| match changes.get(&of.asset) {
                Some(Some(columns)) => columns.contains(&of.column),
                Some(None) => true,
                None => false,
            };
            let edges = self.edges_into(resolved);
            // What is written down and never looked at is no reason to run.
            let is_touched = |edge: &&LineageEdge| {
                let ColumnOf { asset, column } = &edge.from;
                is_changed(&edge.from) && may_scan(resolved, asset, Some(column))
            };
            let touched: Vec<&LineageEdge> = edges.iter().filter(is_touched).collect();
            let reads: BTreeSet<ColumnOf> = touched.iter().map(|edge| edge.from.clone()).collect();
            // Counting rows reads no column.
            let counts = resolved.inputs.iter().any(|input| {
                changes.get(&input.key) == Some(&None) && may_scan(resolved, &input.key, None)
            });
            if reads.is_empty() && !counts {
                continue;
            }
            let columns = touched.iter().map(|edge| edge.to_column.clone());
            let columns = if counts { None } else { columns.collect::<Option<BTreeSet<_>>>() };
            changes.insert(key, columns.clone());
            found.push(Affected {
                asset: key.clone(),
                reads: reads.into_iter().collect(),
                columns,
            });
        }
        found
    }
}

/// Whether a column of an input is scanned, or any row of it; so it is as long as that is not known.
fn may_scan(resolved: &ResolvedAsset, input: &AssetKey, column: Option<&str>) -> bool {
    let Some(reads) = &resolved.reads else { return true };
    let names = resolved.inputs.iter().filter(|of| of.key == *input).map(|of| &of.name);
    let has = |scan: &Scan| column.is_none_or(|column| scan.columns.iter().any(|c| c == column));
    names.into_iter().any(|name| reads.scans.iter().any(|scan| scan.input == *name && has(scan)))
}
