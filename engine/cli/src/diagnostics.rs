//! Diagnostics as people read them: a message, the line it is about, and what to do.

use std::collections::BTreeMap;
use std::path::Path;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use arrowsmith_definitions::{Diagnostic, Place, Severity};

use crate::output;

/// Shows diagnostics on standard error.
pub(crate) fn report(diagnostics: &[Diagnostic]) {
    let mut files = Files::default();
    for diagnostic in diagnostics {
        output::say(&files.render(diagnostic));
    }
}

/// `2 errors, 1 warning`
pub(crate) fn summary(diagnostics: &[Diagnostic]) -> String {
    let count = |severity, one: &str| {
        let n = diagnostics.iter().filter(|d| d.severity == severity).count();
        (n > 0).then(|| format!("{n} {one}{}", if n == 1 { "" } else { "s" }))
    };
    let parts = [count(Severity::Error, "error"), count(Severity::Warning, "warning")];
    let mut text = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if let Some(first) = diagnostics.iter().find(|d| d.severity == Severity::Error) {
        text.push_str(&format!("; `arrowsmith explain {}` tells more", first.code));
    }
    text
}

/// Texts of files, read once.
#[derive(Debug, Default)]
struct Files(BTreeMap<std::path::PathBuf, Option<String>>);

impl Files {
    fn text(&mut self, path: &Path) -> Option<String> {
        let read = || std::fs::read_to_string(path).ok();
        self.0.entry(path.to_owned()).or_insert_with(read).clone()
    }

    fn render(&mut self, diagnostic: &Diagnostic) -> String {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.as_str());
        let mut group = match &diagnostic.place {
            Some(place) => self.marked(Group::with_title(title), place, diagnostic),
            None => Group::with_title(title),
        };
        group =
            group.elements(diagnostic.helps.iter().map(|help| Level::HELP.message(help.as_str())));
        Renderer::styled().decor_style(DecorStyle::Ascii).render(&[group])
    }

    fn marked<'a>(
        &mut self,
        mut group: Group<'a>,
        place: &'a Place,
        diagnostic: &'a Diagnostic,
    ) -> Group<'a> {
        let labels = diagnostic.labels.iter();
        let marks = std::iter::once((place, diagnostic.mark.as_deref(), AnnotationKind::Primary));
        let marks: Vec<_> = marks
            .chain(labels.map(|l| (&l.place, Some(l.text.as_str()), AnnotationKind::Context)))
            .collect();
        let mut shown: Vec<&Path> = Vec::new();
        for (first, _, _) in &marks {
            if shown.contains(&&*first.file) {
                continue;
            }
            shown.push(&first.file);
            let path = first.file.display().to_string();
            let Some(text) = self.text(&first.file) else {
                let origin = Origin::path(path).line(first.start.line);
                group = group.element(origin.char_column(first.start.column));
                continue;
            };
            let mut snippet = Snippet::source(text.clone()).path(path);
            for (place, label, kind) in marks.iter().filter(|(p, _, _)| p.file == first.file) {
                let start = place.start.offset(&text);
                let end = place.end.offset(&text).max(start).min(line_end(&text, start));
                let end = if end == start { next_char(&text, start) } else { end };
                snippet = snippet.annotation(kind.span(start..end).label(*label));
            }
            group = group.element(snippet);
        }
        group
    }
}

/// A mark over several lines says less than one on its first.
fn line_end(text: &str, from: usize) -> usize {
    text[from..].find('\n').map_or(text.len(), |at| from + at)
}

fn next_char(text: &str, from: usize) -> usize {
    text[from..].chars().next().filter(|c| *c != '\n').map_or(from, |c| from + c.len_utf8())
}
