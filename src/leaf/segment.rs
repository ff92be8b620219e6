//! Templates as true: what of the record is put where, and in which form.

use jiff::tz::TimeZone;

use super::pointer::Pointer;
use super::template::literals;

/// A precompiled template: `orders-{timestamp:%Y.%m}-{/region|eu}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// As written.
    pub text: String,
    /// Its segments.
    pub segments: Vec<TemplateSegment>,
}

/// One segment of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateSegment {
    /// Text.
    Literal(String),
    /// `{key}`
    Key,
    /// `{key:/path}`: the key read as JSON.
    KeyField {
        /// Which value.
        pointer: Pointer,
        /// Used when the value is missing.
        fallback: Option<String>,
    },
    /// `{topic}`
    Topic,
    /// `{partition}`
    Partition,
    /// `{offset}`
    Offset,
    /// `{timestamp:%Y.%m.%d}`: the record's timestamp in UTC, strftime form; without a format, milliseconds.
    Timestamp(Option<String>),
    /// The time it is, in milliseconds; `{now:%Y.%m.%d}` is this in a form.
    Now,
    /// `{header:name}`
    Header(String),
    /// `{item}`: which item of its record it is, from 0, where a step made several.
    Item,
    /// `{route}`: what the last `route` step named the record.
    Route,
    /// `{/path}`: the record before the step; in a sink's template, the finished record.
    Field {
        /// Which value.
        pointer: Pointer,
        /// `{/path|fallback}`
        fallback: Option<String>,
    },
    /// `{original:/path}`: the input record.
    Original {
        /// Which value.
        pointer: Pointer,
        /// Used when the value is missing.
        fallback: Option<String>,
    },
    /// `{/app:lower}`, `{/ts:%Y.%m.%d}`: another segment, in a form.
    Formed {
        /// Of what.
        of: Box<Self>,
        /// How.
        form: ValueForm,
    },
}

/// How a value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueForm {
    /// `:lower`: in small letters.
    Lower,
    /// `:%Y.%m.%d`: as a time.
    Time(TimeForm),
}

/// A time's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeForm {
    /// strftime form.
    pub format: String,
    /// In which time zone.
    pub zone: TimeZone,
}

impl Template {
    /// Whether rendering it needs the record's value, which a tombstone does not have.
    #[must_use]
    pub(crate) fn needs_document(&self) -> bool {
        self.segments.iter().any(|segment| {
            matches!(
                segment.inner(),
                TemplateSegment::Field { .. }
                    | TemplateSegment::Original { .. }
                    | TemplateSegment::Item
                    | TemplateSegment::Route
            )
        })
    }

    /// Whether rendering it needs the finished record, which a record that skips the steps does not have.
    #[must_use]
    pub(crate) fn needs_finished(&self) -> bool {
        let needs = |segment: &TemplateSegment| {
            matches!(segment, TemplateSegment::Field { .. } | TemplateSegment::Item | TemplateSegment::Route)
        };
        self.segments.iter().any(|segment| needs(segment.inner()))
    }

    /// Whether it has such a segment, in any form.
    #[must_use]
    pub(crate) fn has(&self, segment: &TemplateSegment) -> bool {
        self.segments.iter().any(|one| one.inner() == segment)
    }

    /// Whether it renders otherwise at another time.
    #[must_use]
    pub(crate) fn is_of_now(&self) -> bool {
        self.segments.iter().any(|segment| *segment.inner() == TemplateSegment::Now)
    }

    /// The whole text where there is no placeholder; empty for an empty template.
    #[must_use]
    pub(crate) fn fixed_text(&self) -> Option<String> {
        (literals(self).count() == self.segments.len()).then(|| literals(self).collect())
    }

    /// The same with all times in this zone.
    #[must_use]
    pub(crate) fn in_zone(mut self, zone: &TimeZone) -> Self {
        if *zone != TimeZone::UTC {
            self.segments.iter_mut().for_each(|segment| segment.move_to(zone));
        }
        self
    }
}

impl TemplateSegment {
    /// What is put there, whatever its form.
    #[must_use]
    pub(crate) fn inner(&self) -> &Self {
        match self {
            Self::Formed { of, .. } => of.inner(),
            Self::Literal(_)
            | Self::Key
            | Self::KeyField { .. }
            | Self::Topic
            | Self::Partition
            | Self::Offset
            | Self::Timestamp(_)
            | Self::Now
            | Self::Header(_)
            | Self::Item
            | Self::Route
            | Self::Field { .. }
            | Self::Original { .. } => self,
        }
    }

    fn move_to(&mut self, zone: &TimeZone) {
        match self {
            Self::Timestamp(Some(format)) => {
                let form = ValueForm::Time(TimeForm { format: std::mem::take(format), zone: zone.clone() });
                *self = Self::Formed { of: Box::new(Self::Timestamp(None)), form };
            }
            Self::Formed { form: ValueForm::Time(time), .. } => time.zone = zone.clone(),
            Self::Formed { of, form: ValueForm::Lower } => of.move_to(zone),
            Self::Literal(_)
            | Self::Key
            | Self::KeyField { .. }
            | Self::Topic
            | Self::Partition
            | Self::Offset
            | Self::Timestamp(None)
            | Self::Now
            | Self::Header(_)
            | Self::Item
            | Self::Route
            | Self::Field { .. }
            | Self::Original { .. } => {}
        }
    }
}
