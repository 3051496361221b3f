//! Selection to assets.

use std::collections::BTreeSet;

use super::{Attribute, Expr, Selection, SelectionError, State};
use crate::{AssetKey, Resolved, ResolvedAsset};

type Keys = BTreeSet<AssetKey>;

impl Selection {
    /// Every asset that can be materialized.
    pub fn all() -> Self {
        Self(Expr::All)
    }

    /// Exactly one asset.
    pub fn key(key: &AssetKey) -> Self {
        Self(Expr::Attribute(Attribute::Key(key.to_string()), 0..0))
    }

    /// The assets that are selected, sorted by key.
    ///
    /// `*` and `not` leave out external assets; what names them, selects them.
    ///
    /// # Errors
    /// If a key without wildcard is no asset: the nearest is named.
    pub fn evaluate(&self, resolved: &Resolved) -> Result<Keys, SelectionError> {
        evaluate(&self.0, resolved)
    }
}

fn evaluate(expr: &Expr, resolved: &Resolved) -> Result<Keys, SelectionError> {
    Ok(match expr {
        Expr::All => materializable(resolved),
        Expr::Attribute(Attribute::Key(pattern), range) => {
            by_key(pattern, resolved).map_err(|mut e| {
                e.range = range.clone();
                e
            })?
        }
        Expr::Attribute(attribute, _) => {
            matching(resolved, |asset| has_attribute(asset, attribute))
        }
        Expr::Sinks(of) => {
            let of = evaluate(of, resolved)?;
            let is_sink = |key: &&AssetKey| {
                resolved.graph.downstream(key).iter().all(|reader| !of.contains(reader))
            };
            of.iter().filter(is_sink).cloned().collect()
        }
        Expr::Roots(of) => {
            let of = evaluate(of, resolved)?;
            let is_root = |key: &&AssetKey| {
                resolved.graph.upstream(key).iter().all(|read| !of.contains(read))
            };
            of.iter().filter(is_root).cloned().collect()
        }
        Expr::Traverse { of, up, down } => {
            let of = evaluate(of, resolved)?;
            let mut reached = resolved.graph.ancestors(&of, *up);
            reached.extend(resolved.graph.descendants(&of, *down));
            reached
        }
        Expr::Not(of) => &materializable(resolved) - &evaluate(of, resolved)?,
        Expr::And(a, b) => &evaluate(a, resolved)? & &evaluate(b, resolved)?,
        Expr::Or(a, b) => &evaluate(a, resolved)? | &evaluate(b, resolved)?,
    })
}

fn matching(resolved: &Resolved, keep: impl Fn(&ResolvedAsset) -> bool) -> Keys {
    let kept = resolved.assets.iter().filter(|(_, asset)| keep(asset));
    kept.map(|(key, _)| key.clone()).collect()
}

fn materializable(resolved: &Resolved) -> Keys {
    matching(resolved, |asset| !asset.asset.is_external())
}

fn by_key(pattern: &str, resolved: &Resolved) -> Result<Keys, SelectionError> {
    if !pattern.contains('*') {
        let error = |d: crate::Diagnostic| SelectionError {
            message: d.message,
            range: 0..0,
            nearest: d.replacement,
        };
        return Ok(Keys::from([resolved.find(pattern).map_err(error)?.asset.key.clone()]));
    }
    let pattern: Vec<char> = pattern.replace('/', ".").chars().collect();
    Ok(matching(resolved, |asset| {
        let text: Vec<char> = asset.asset.key.as_str().chars().collect();
        glob(&pattern, &text)
    }))
}

/// Whether `text` matches, where `*` stands for any characters; linear in both, without recursion.
fn glob(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            p = at + 1;
            t = from + 1;
            star = Some((at, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

fn has_attribute(resolved: &ResolvedAsset, attribute: &Attribute) -> bool {
    let asset = &resolved.asset;
    let said = &asset.attributes;
    match attribute {
        Attribute::Key(_) => false,
        Attribute::Tag(tag, None) => said.tags.contains_key(tag),
        Attribute::Tag(tag, Some(value)) => said.tags.get(tag) == Some(value),
        Attribute::Owner(owner) => said.owners.contains(owner),
        Attribute::Group(group) => said.group == *group,
        Attribute::Kind(kind) => said.kinds.contains(kind),
        Attribute::Is(State::External) => asset.is_external(),
        Attribute::Is(State::Materializable) => asset.is_materializable(),
    }
}
