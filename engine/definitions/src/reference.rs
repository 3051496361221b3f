//! How a name in a query or parameter finds its asset.

use std::collections::HashMap;

use crate::{AssetKey, nearest};

/// A name as it stands in a query: one to three segments, after SQL's folding to lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AssetReference {
    /// The segments, outermost first.
    pub segments: Vec<String>,
}

impl AssetReference {
    /// A reference to exactly this key.
    pub fn to(key: &AssetKey) -> Self {
        Self { segments: key.segments().to_vec() }
    }

    /// A reference of one segment.
    pub fn named(name: impl Into<String>) -> Self {
        Self { segments: vec![name.into()] }
    }
}

impl std::fmt::Display for AssetReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match AssetKey::from_segments(&self.segments) {
            Ok(key) => key.fmt(f),
            Err(_) => f.write_str(&self.segments.join(".")),
        }
    }
}

/// What a reference found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    One(AssetKey),
    Several(Vec<AssetKey>),
    None { nearest: Option<AssetKey> },
}

/// Keys by their text and by their last segment.
#[derive(Debug, Default)]
pub(crate) struct KeyIndex {
    by_segments: HashMap<Vec<String>, AssetKey>,
    by_name: HashMap<String, Vec<AssetKey>>,
}

impl KeyIndex {
    pub(crate) fn new<'a>(keys: impl IntoIterator<Item = &'a AssetKey>) -> Self {
        let mut index = Self::default();
        for key in keys {
            index.by_segments.insert(key.segments().to_vec(), key.clone());
            index.by_name.entry(key.name().to_owned()).or_default().push(key.clone());
        }
        index
    }

    /// By exact key, then in the folder of `from`, then by a unique last segment.
    pub(crate) fn find(&self, reference: &AssetReference, from: Option<&AssetKey>) -> Found {
        if let Some(key) = self.by_segments.get(&reference.segments) {
            return Found::One(key.clone());
        }
        if let Some(from) = from {
            let mut beside = from.folder().to_vec();
            beside.extend(reference.segments.iter().cloned());
            if let Some(key) = self.by_segments.get(&beside) {
                return Found::One(key.clone());
            }
        }
        if let [name] = reference.segments.as_slice()
            && let Some(keys) = self.by_name.get(name)
        {
            return match keys.as_slice() {
                [key] => Found::One(key.clone()),
                several => Found::Several(several.to_vec()),
            };
        }
        Found::None { nearest: self.nearest(reference) }
    }

    fn nearest(&self, reference: &AssetReference) -> Option<AssetKey> {
        let mut keys: Vec<&AssetKey> = self.by_segments.values().collect();
        keys.sort();
        let whole = nearest(&reference.to_string(), keys.iter().map(|k| k.as_str()));
        let last = reference.segments.last().map_or("", String::as_str);
        let by_name = || nearest(last, keys.iter().map(|k| k.name()));
        if let Some(text) = whole {
            return keys.iter().find(|k| k.as_str() == text).map(|k| (*k).clone());
        }
        let name = by_name()?;
        keys.iter().find(|k| k.name() == name).map(|k| (*k).clone())
    }
}
