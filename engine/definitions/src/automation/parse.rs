//! The language of conditions, as front matter has it: names with arguments, `&`, `|`, `~`, and methods.

use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use super::{AutomationCondition as When, Cron};
use crate::nearest;

/// What is wrong with a condition, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConditionError {
    /// In one sentence.
    pub message: String,
    /// The bytes that it is about.
    pub range: Range<usize>,
    /// The name that was perhaps meant.
    pub nearest: Option<String>,
}

/// Parentheses in parentheses may go so deep.
const DEPTH_MAX: usize = 64;

const NAMES: &[&str] = &[
    "all_deps_match",
    "all_deps_updated_since_cron",
    "all_new_updates_have_run_tags",
    "any_deps_in_progress",
    "any_deps_match",
    "any_deps_missing",
    "any_deps_updated",
    "any_new_update_has_run_tags",
    "asset_matches",
    "check_failed",
    "check_passed",
    "code_version_changed",
    "cron_tick_passed",
    "eager",
    "executed_with_tags",
    "execution_failed",
    "freshness_failed",
    "freshness_passed",
    "freshness_warned",
    "in_latest_time_window",
    "in_progress",
    "initial_evaluation",
    "missing",
    "newly_requested",
    "newly_updated",
    "on_cron",
    "on_missing",
    "will_be_requested",
];
const METHODS: &[&str] =
    &["allow", "ignore", "newly_true", "replace", "since", "since_last_handled", "with_label"];

impl FromStr for When {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        let condition = parser.any()?;
        parser.space();
        if parser.at < text.len() {
            return Err(parser.wrong("an end or an operator was expected"));
        }
        Ok(condition)
    }
}

/// What stands between the parentheses of a name.
enum Argument {
    Text(String, Range<usize>),
    Condition(When, Range<usize>),
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn takes(&mut self, sign: char) -> bool {
        self.space();
        let found = self.text[self.at..].starts_with(sign);
        if found {
            self.at += sign.len_utf8();
        }
        found
    }

    fn wrong(&self, message: impl Into<String>) -> ConditionError {
        let next = self.text[self.at..].chars().next().map_or(0, char::len_utf8);
        ConditionError { message: message.into(), range: self.at..self.at + next, nearest: None }
    }

    fn any(&mut self) -> Result<When, ConditionError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong("the condition is nested too deeply"));
        }
        let mut condition = self.all()?;
        while self.takes('|') {
            condition = condition | self.all()?;
        }
        self.depth -= 1;
        Ok(condition)
    }

    fn all(&mut self) -> Result<When, ConditionError> {
        let mut condition = self.one()?;
        while self.takes('&') {
            condition = condition & self.one()?;
        }
        Ok(condition)
    }

    fn one(&mut self) -> Result<When, ConditionError> {
        if self.takes('~') {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(self.wrong("the condition is nested too deeply"));
            }
            let condition = self.one()?;
            self.depth -= 1;
            return Ok(!condition);
        }
        let mut condition = if self.takes('(') {
            let inner = self.any()?;
            if !self.takes(')') {
                return Err(self.wrong("`)` was expected"));
            }
            inner
        } else {
            let (name, range) = self.name()?;
            let arguments = self.arguments()?;
            operand(&name, range, arguments)?
        };
        while self.takes('.') {
            let (name, range) = self.name()?;
            let arguments = self.arguments()?;
            condition = method(condition, &name, range, arguments)?;
        }
        Ok(condition)
    }

    fn name(&mut self) -> Result<(String, Range<usize>), ConditionError> {
        self.space();
        let rest = &self.text[self.at..];
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let length = length.unwrap_or(rest.len());
        if length == 0 {
            return Err(self.wrong("a name such as `eager` was expected"));
        }
        let range = self.at..self.at + length;
        self.at = range.end;
        Ok((self.text[range.clone()].to_owned(), range))
    }

    /// What stands in parentheses; a name without any has none.
    fn arguments(&mut self) -> Result<Vec<Argument>, ConditionError> {
        let mut arguments = Vec::new();
        if !self.takes('(') || self.takes(')') {
            return Ok(arguments);
        }
        loop {
            self.space();
            let start = self.at;
            let quote = self.text[start..].chars().next().filter(|c| ['"', '\''].contains(c));
            if let Some(quote) = quote {
                let inside = &self.text[start + 1..];
                let Some(end) = inside.find(quote) else {
                    return Err(self.wrong("the text is not closed"));
                };
                self.at = start + end + 2;
                arguments.push(Argument::Text(inside[..end].to_owned(), start..self.at));
            } else {
                let condition = self.any()?;
                arguments.push(Argument::Condition(condition, start..self.at));
            }
            if self.takes(')') {
                return Ok(arguments);
            }
            if !self.takes(',') {
                return Err(self.wrong("`,` or `)` was expected"));
            }
        }
    }
}

fn refuse<T>(message: String, range: Range<usize>) -> Result<T, ConditionError> {
    Err(ConditionError { message, range, nearest: None })
}

fn operand(name: &str, range: Range<usize>, of: Vec<Argument>) -> Result<When, ConditionError> {
    let simple = match name {
        "missing" => Some(When::missing()),
        "in_progress" => Some(When::in_progress()),
        "execution_failed" => Some(When::execution_failed()),
        "newly_updated" => Some(When::newly_updated()),
        "newly_requested" => Some(When::newly_requested()),
        "will_be_requested" => Some(When::will_be_requested()),
        "code_version_changed" => Some(When::code_version_changed()),
        "initial_evaluation" => Some(When::initial_evaluation()),
        "check_failed" => Some(When::check_failed()),
        "check_passed" => Some(When::check_passed()),
        "freshness_passed" => Some(When::freshness_passed()),
        "freshness_warned" => Some(When::freshness_warned()),
        "freshness_failed" => Some(When::freshness_failed()),
        "any_deps_updated" => Some(When::any_deps_updated()),
        "any_deps_missing" => Some(When::any_deps_missing()),
        "any_deps_in_progress" => Some(When::any_deps_in_progress()),
        "eager" => Some(When::eager()),
        "on_missing" => Some(When::on_missing()),
        _ => None,
    };
    if let Some(condition) = simple {
        if !of.is_empty() {
            return refuse(format!("`{name}` takes nothing in its parentheses"), range);
        }
        return Ok(condition);
    }
    match name {
        "any_deps_match" => Ok(When::any_deps_match(condition(name, range, of)?)),
        "all_deps_match" => Ok(When::all_deps_match(condition(name, range, of)?)),
        "cron_tick_passed" => Ok(When::cron_tick_passed(cron(name, range, of)?)),
        "on_cron" => Ok(When::on_cron(cron(name, range, of)?)),
        "all_deps_updated_since_cron" => {
            Ok(When::all_deps_updated_since_cron(cron(name, range, of)?))
        }
        "in_latest_time_window" => Ok(When::in_latest_time_window(lookback(range, of)?)),
        "asset_matches" => asset_matches(range, of),
        "executed_with_tags" => Ok(When::executed_with_tags(tags(name, range, of)?)),
        "any_new_update_has_run_tags" => {
            Ok(When::any_new_update_has_run_tags(tags(name, range, of)?))
        }
        "all_new_updates_have_run_tags" => {
            Ok(When::all_new_updates_have_run_tags(tags(name, range, of)?))
        }
        _ => {
            let message = format!("there is no condition `{name}`");
            let nearest = nearest(name, NAMES.iter().copied()).map(str::to_owned);
            Err(ConditionError { message, range, nearest })
        }
    }
}

fn method(
    on: When,
    name: &str,
    range: Range<usize>,
    of: Vec<Argument>,
) -> Result<When, ConditionError> {
    match name {
        "newly_true" if of.is_empty() => Ok(on.newly_true()),
        "since_last_handled" if of.is_empty() => Ok(on.since_last_handled()),
        "newly_true" | "since_last_handled" => {
            refuse(format!("`{name}` takes nothing in its parentheses"), range)
        }
        "since" => Ok(on.since(condition(name, range, of)?)),
        "with_label" => Ok(on.labeled(only_text(name, range, of)?)),
        "allow" | "ignore" => filtered(on, name, range, of),
        "replace" => replaced(on, range, of),
        _ => {
            let message = format!("a condition has no method `{name}`");
            let nearest = nearest(name, METHODS.iter().copied()).map(str::to_owned);
            Err(ConditionError { message, range, nearest })
        }
    }
}

fn condition(
    name: &str,
    range: Range<usize>,
    mut of: Vec<Argument>,
) -> Result<When, ConditionError> {
    match (of.pop(), of.is_empty()) {
        (Some(Argument::Condition(condition, _)), true) => Ok(condition),
        _ => refuse(format!("`{name}` takes one condition"), range),
    }
}

fn filtered(
    on: When,
    name: &str,
    range: Range<usize>,
    of: Vec<Argument>,
) -> Result<When, ConditionError> {
    let selection = only_text(name, range.clone(), of)?;
    let filtered = match name {
        "allow" => on.clone().allow(&selection),
        _ => on.clone().ignore(&selection),
    };
    if filtered == on {
        let message = format!("`{name}` is about what is read, which this condition does not ask");
        return refuse(message, range);
    }
    Ok(filtered)
}

fn replaced(on: When, range: Range<usize>, mut of: Vec<Argument>) -> Result<When, ConditionError> {
    let (new, old) = (of.pop(), of.pop());
    let replaced = match (old, new, of.is_empty()) {
        (Some(Argument::Text(label, _)), Some(Argument::Condition(new, _)), true) => {
            on.clone().replace_labeled(&label, &new)
        }
        (Some(Argument::Condition(old, _)), Some(Argument::Condition(new, _)), true) => {
            on.clone().replace(&old, &new)
        }
        _ => {
            let message = "`replace` takes a condition or its label, and what stands in its place";
            return refuse(message.to_owned(), range);
        }
    };
    if replaced == on {
        return refuse("what `replace` names is not in the condition".to_owned(), range);
    }
    Ok(replaced)
}

fn asset_matches(range: Range<usize>, mut of: Vec<Argument>) -> Result<When, ConditionError> {
    match (of.pop(), of.pop(), of.is_empty()) {
        (Some(Argument::Condition(condition, _)), Some(Argument::Text(key, range)), true) => {
            match key.parse() {
                Ok(key) => Ok(When::asset_matches(key, condition)),
                Err(_) => refuse(format!("`{key}` is no key of an asset"), range),
            }
        }
        _ => refuse("`asset_matches` takes the key of an asset and a condition".to_owned(), range),
    }
}

fn only_text(
    name: &str,
    range: Range<usize>,
    mut of: Vec<Argument>,
) -> Result<String, ConditionError> {
    match (of.pop(), of.is_empty()) {
        (Some(Argument::Text(text, _)), true) => Ok(text),
        _ => refuse(format!("`{name}` takes one text"), range),
    }
}

fn tags(name: &str, range: Range<usize>, of: Vec<Argument>) -> Result<Vec<String>, ConditionError> {
    let text = |argument| match argument {
        Argument::Text(text, _) => Some(text),
        Argument::Condition(..) => None,
    };
    match of.into_iter().map(text).collect::<Option<Vec<_>>>() {
        Some(tags) if !tags.is_empty() => Ok(tags),
        _ => refuse(format!("`{name}` takes tags, such as `\"team\"` or `\"team=sales\"`"), range),
    }
}

fn cron(name: &str, range: Range<usize>, of: Vec<Argument>) -> Result<Cron, ConditionError> {
    let mut texts = of.into_iter().map(|argument| match argument {
        Argument::Text(text, range) => Ok((text, range)),
        Argument::Condition(_, range) => refuse("a text in quotes was expected".to_owned(), range),
    });
    let wrong = || format!("`{name}` takes a cron expression, such as `{name}(\"0 6 * * *\")`");
    let (Some(text), zone, None) =
        (texts.next().transpose()?, texts.next().transpose()?, texts.next())
    else {
        return refuse(wrong(), range);
    };
    let zone = zone.map_or_else(|| "UTC".to_owned(), |(zone, _)| zone);
    Cron::new(&text.0, &zone).or_else(|message| refuse(message, text.1))
}

fn lookback(
    range: Range<usize>,
    mut of: Vec<Argument>,
) -> Result<Option<Duration>, ConditionError> {
    match (of.pop(), of.is_empty()) {
        (None, _) => Ok(None),
        (Some(Argument::Text(text, range)), true) => {
            let span = text.parse::<jiff::SignedDuration>().ok().and_then(|d| d.try_into().ok());
            let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
            let days = days.map(|days| Duration::from_hours(days * 24));
            match days.or(span) {
                Some(lookback) => Ok(Some(lookback)),
                None => refuse(format!("`{text}` is no duration; write `3d` or `12h`"), range),
            }
        }
        _ => refuse("`in_latest_time_window` takes a duration such as \"3d\"".to_owned(), range),
    }
}
