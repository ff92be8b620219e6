//! "Did you mean": the nearest known name for a misspelt one.

/// The nearest of `known`, if it is near enough to be what was meant.
#[must_use]
pub fn nearest<'known>(name: &str, known: impl IntoIterator<Item = &'known str>) -> Option<&'known str> {
    let lowered = name.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|candidate| {
            (strsim::damerau_levenshtein(&lowered, &candidate.to_lowercase().replace('-', "_")), candidate)
        })
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(lowered.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How a remedy begins that names the nearest.
#[must_use]
pub fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// A remedy: the nearest name if there is one, and all of them.
#[must_use]
pub fn remedy(name: &str, known: &[&str], what: &str) -> String {
    let list = known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
    match (nearest(name, known.iter().copied()), known.is_empty()) {
        (_, true) => format!("there are no {what}"),
        (Some(near), false) if known.len() == 1 => did_you_mean(near),
        (Some(near), false) => format!("{} {what}: {list}", did_you_mean(near)),
        (None, false) => format!("{what}: {list}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_and_far() {
        let known = ["connection", "topics", "group", "instance_id"];
        assert_eq!(nearest("topcis", known), Some("topics"));
        assert_eq!(nearest("Instance-Id", known), Some("instance_id"));
        assert_eq!(nearest("conection", known), Some("connection"));
        assert_eq!(nearest("zebra", known), None);
        assert_eq!(nearest("grp", known), Some("group"));
    }
}
