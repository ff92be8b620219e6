//! What every check works with: where values were written, the time zone in force, and the list of what it finds.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::finding::Finding;
use super::pointer::{self, Pointer, PointerRefusal};
use super::quantity::Interval;
use super::segment::{Template, TemplateSegment};
use super::template;
use super::tree::Index;

/// Notes what a check finds; all findings are reported, not the first.
pub struct CheckContext<'run> {
    /// Where everything was written.
    pub index: &'run Index,
    /// The time zone of the pipeline under check.
    pub zone: RefCell<TimeZone>,
    /// Whether a `route` step stands before what is checked.
    pub has_routes: Cell<bool>,
    /// How many steps that make several items of a record stand before what is checked.
    pub splits: Cell<usize>,
    /// Whether one of them makes items of the elements of an array.
    pub explodes: Cell<bool>,
    findings: RefCell<Vec<Finding>>,
}

impl<'run> CheckContext<'run> {
    /// Without findings, in UTC.
    #[must_use]
    pub fn new(index: &'run Index) -> Self {
        let no = || Cell::new(false);
        Self {
            index,
            zone: RefCell::new(TimeZone::UTC),
            has_routes: no(),
            splits: Cell::new(0),
            explodes: no(),
            findings: RefCell::default(),
        }
    }

    /// Everything found, in order.
    #[must_use]
    pub fn into_findings(self) -> Vec<Finding> {
        self.findings.into_inner()
    }

    /// Takes note of a step that makes several items of a record, of which a pipeline may have so many.
    pub(crate) fn splits(&self, path: &str, most: usize) {
        self.splits.set(self.splits.get() + 1);
        if self.splits.get() > most {
            self.error(
                path,
                format!("is one of more than {most} steps that make several records of one"),
                "write one `jq` step in the place of several",
            );
        }
    }

    /// What forbids running.
    pub fn error(&self, path: &str, reason: impl Into<String>, remedy: impl Into<String>) {
        self.findings.borrow_mut().push(Finding::error(self.index.nearest(path), path, reason).remedy(remedy));
    }

    /// What is allowed but probably not meant.
    pub fn warn(&self, path: &str, reason: impl Into<String>, remedy: impl Into<String>) {
        self.findings.borrow_mut().push(Finding::warning(self.index.nearest(path), path, reason).remedy(remedy));
    }

    /// The value, or a finding and nothing.
    pub fn accept<T>(&self, path: &str, result: Result<T, PointerRefusal>) -> Option<T> {
        result.map_err(|refusal| self.error(path, refusal.reason, refusal.remedy)).ok()
    }

    /// A pointer.
    pub fn pointer(&self, path: &str, text: &str) -> Option<Pointer> {
        self.accept(path, pointer::parse(text))
    }

    /// A template that renders to something for every record.
    pub fn template(&self, path: &str, text: &str) -> Option<Template> {
        if text.is_empty() {
            self.error(path, "is empty", "write a text or a template such as `{key}`");
            return None;
        }
        let template = self.accept(path, template::parse(text))?;
        if template.is_of_now() && path.ends_with(".id") {
            self.warn(
                path,
                "the id changes with the time: a record that comes again makes another document",
                "build the id of the record's own fields, or of `{topic}+{partition}+{offset}`",
            );
        }
        if template.has(&TemplateSegment::Route) && !self.has_routes.get() {
            self.error(
                path,
                "`{route}` names nothing: no `route` step stands before it",
                "add `- route: [{ when: […], as: name }]` to the steps",
            );
            return None;
        }
        if template.has(&TemplateSegment::Item) && self.splits.get() == 0 {
            self.error(
                path,
                "`{item}` is always empty: no step before it makes several records of one",
                "leave it out, or add `- explode: /items` to the steps",
            );
            return None;
        }
        Some(template.in_zone(&self.zone.borrow()))
    }

    /// Whether a duration is above 0 and at most `most`; else a finding.
    pub fn positive(&self, path: &str, wait: Interval, most: Duration) -> bool {
        let fine = !wait.0.is_zero() && wait.0 <= most;
        if !fine {
            let most = Interval(most);
            self.error(path, format!("must be longer than 0 and at most {most}"), "leave it out for the default");
        }
        fine
    }
}
