//! What is wrong with a configuration, shown the way rustc shows it.
//!
//! Knows lines, columns and fixes. Holds excerpts only as `source` has masked them, so that nothing here can show a secret.

use std::{fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, renderer::DecorStyle};

/// Everything that is wrong with a configuration (or worth a warning), in the file's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

/// One problem: what is wrong, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    severity: Severity,
    title: String,
    place: Option<Place>,
    also: Option<Place>,
    fix: Option<String>,
}

/// Whether a configuration can be used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can; the operator should know.
    Warning,
}

/// A marked part of one line of a file, secrets masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub excerpt: String,
    pub marked: Range<usize>,
    pub label: String,
}

impl Problems {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One by one, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// All of them as text, with colours if asked.
    pub fn render(&self, colour: bool) -> String {
        let rendered: Vec<_> = self.0.iter().map(|problem| problem.render(colour)).collect();
        rendered.join("\n\n")
    }

    /// Adds one, unless it was said already: two keys may lead to the same mistake.
    pub(super) fn push(&mut self, problem: Problem) {
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    /// Splits errors from warnings; each in the file's order.
    pub(super) fn sorted(mut self) -> (Self, Self) {
        self.0.sort_by_key(|problem| problem.place.as_ref().map(|place| (place.line, place.column)));
        let (errors, warnings) = self.0.into_iter().partition(|problem| problem.severity == Severity::Error);
        (Self(errors), Self(warnings))
    }

    /// Drops what points at these lines.
    pub(super) fn without_lines(&mut self, lines: &[usize]) {
        self.0.retain(|problem| problem.place.as_ref().is_none_or(|place| !lines.contains(&place.line)));
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

impl Problem {
    /// Its title and its fix in a line, where it is about a line that starts so.
    pub(super) fn on_line(&self, start: &str) -> Option<String> {
        self.place.as_ref().filter(|place| place.excerpt.starts_with(start)).map(|_| self.in_a_line())
    }

    /// Its title and its fix, where nobody has seen the file yet.
    pub(super) fn in_a_line(&self) -> String {
        let fix = self.fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default();
        format!("{}{fix}", self.title)
    }

    pub(super) fn error(title: impl Into<String>) -> Self {
        Self { severity: Severity::Error, title: title.into(), place: None, also: None, fix: None }
    }

    pub(super) fn warning(title: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(title) }
    }

    pub(super) fn at(self, place: Place) -> Self {
        Self { place: Some(place), ..self }
    }

    pub(super) fn also_at(self, place: Place) -> Self {
        Self { also: Some(place), ..self }
    }

    pub(super) fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    /// What is wrong, in one line.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Line and column, from 1, where it belongs to a place in a file.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.place.as_ref().map(|place| (place.line, place.column))
    }

    /// Whether it is an error or a warning.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    fn render(&self, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(&self.title));
        if let Some(place) = &self.place {
            group = group.elements(shown(place, AnnotationKind::Primary));
        }
        if let Some(place) = &self.also {
            group = group.elements(shown(place, AnnotationKind::Context));
        }
        if let Some(fix) = &self.fix {
            group = group.element(Level::HELP.message(fix));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.decor_style(DecorStyle::Ascii).render(&[group])
    }
}

fn shown(place: &Place, kind: AnnotationKind) -> Vec<annotate_snippets::Element<'_>> {
    let label = (!place.label.is_empty()).then_some(place.label.as_str());
    let snippet = Snippet::source(&place.excerpt)
        .line_start(place.line)
        .annotation(kind.span(place.marked.clone()).label(label));
    let column = place.excerpt[..place.marked.start].chars().count() + 1;
    if column == place.column {
        return vec![snippet.path(&place.file).into()];
    }
    // A mask in front of the mark has moved it: the column shown is the file's.
    vec![Origin::path(&place.file).line(place.line).char_column(place.column).into(), snippet.into()]
}
