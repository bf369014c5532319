//! `fields_set`: the keys that a client wants.

use super::plan::{PlanId, Plans, ValuePlan};

/// The wanted fields of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All fields.
    All,
    /// These positions in the plan, ascending, each with the wanted fields below it.
    Only(Vec<(usize, Selection)>),
}

/// A path as the client writes it, found in the plan.
#[derive(Debug)]
pub(crate) struct Path {
    positions: Vec<usize>,
    /// The path with the names of the contract.
    pub(crate) name: String,
}

/// Finds a path. A name may be that of the contract or that of the release.
pub(crate) fn find(plans: &Plans, message: PlanId, path: &str) -> Option<Path> {
    let mut below = Some(message);
    let mut positions = Vec::new();
    let mut names = Vec::new();
    for segment in path.split('.') {
        let fields = &plans[below?].fields;
        let position = fields.iter().position(|field| field.key == segment || field.name == segment)?;
        let field = &fields[position];
        positions.push(position);
        names.push(field.name.as_str());
        below = match field.value {
            ValuePlan::Message(message) if !field.repeated => Some(message),
            _ => None,
        };
    }
    Some(Path { positions, name: names.join(".") })
}

/// Returns the keys of a message, for the error about an unknown key.
pub(crate) fn known(plans: &Plans, message: PlanId) -> String {
    plans[message].fields.iter().map(|field| field.key.as_str()).collect::<Vec<_>>().join(", ")
}

/// Returns the fields that several paths select. No paths select all fields.
pub(crate) fn select<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Selection {
    let mut selection = Selection::Only(Vec::new());
    for path in paths {
        insert(&mut selection, &path.positions);
    }
    if selection == Selection::Only(Vec::new()) { Selection::All } else { selection }
}

/// Adds a path. A field that is wanted whole stays so.
fn insert(selection: &mut Selection, path: &[usize]) {
    match (selection, path) {
        (Selection::All, _) => {}
        (whole, []) => *whole = Selection::All,
        (Selection::Only(fields), [position, rest @ ..]) => {
            let at = fields.binary_search_by_key(position, |(position, _)| *position).unwrap_or_else(|at| {
                fields.insert(at, (*position, Selection::Only(Vec::new())));
                at
            });
            insert(&mut fields[at].1, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use access_tokens_proto::descriptor_pool;

    use super::*;
    use crate::Release;

    fn plans(release: Release) -> (Plans, PlanId) {
        let token = descriptor_pool().get_message_by_name("accesstoken.v1.AccessToken").expect("the token");
        let mut plans = Plans::default();
        let id = plans.add(&token, release);
        (plans, id)
    }

    #[test]
    fn paths_are_found_under_both_names() {
        let (plans, token) = plans(Release::new(12, 0, 0));
        for path in ["reward_participant.number", "rewards_participant.number"] {
            assert_eq!(find(&plans, token, path).expect("known").name, "rewards_participant.number");
        }
        for unknown in ["", "numbr", "number.x", "verified_date.seconds", "number.", "card_masked_number"] {
            assert!(find(&plans, token, unknown).is_none(), "{unknown}");
        }
        assert!(known(&plans, token).contains("reward_participant"));
    }

    #[test]
    fn a_whole_field_stays_whole_in_any_order() {
        let (plans, token) = plans(Release::default());
        let selection = |paths: &[&str]| {
            let paths: Vec<_> = paths.iter().map(|path| find(&plans, token, path).expect("known")).collect();
            select(&paths)
        };
        let whole = selection(&["classification"]);
        assert_eq!(selection(&["classification", "classification.name"]), whole);
        assert_eq!(selection(&["classification.name", "classification"]), whole);
        assert_ne!(selection(&["classification.name"]), whole);
        assert_eq!(selection(&["number", "id"]), selection(&["id", "number", "id"]));
        assert_eq!(selection(&[]), Selection::All);
    }
}
