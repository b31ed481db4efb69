//! From a key and JSON to a run of an action: finds the entry, takes the common inputs, cleans and reads the rest. Not here:
//! what an action does (`actions/`).

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::action::{Action, Entry, Fields, Step, Turn, Waiting};
use crate::actions::ACTIONS;
use crate::api::Api;
use crate::clean::{self, Misfit};
use crate::error::Error;
use crate::{near, twins, value_reader};

/// The key of the common input that asks for a log of the requests.
pub(crate) const DEBUG: &str = "debug";

/// The entry of a key. A label is no key, but it is known which one is meant.
pub(crate) fn entry(key: &str) -> Result<&'static Entry, Error> {
    if let Some(entry) = ACTIONS.iter().find(|entry| entry.key == key) {
        return Ok(entry);
    }
    let labels: Vec<String> = ACTIONS.iter().map(Entry::label).collect();
    let names = ACTIONS.iter().zip(&labels).map(|(entry, label)| (entry.key, label.as_str()));
    let hint = near::hint_of(key, names);
    Err(Error::input("", format!("there is no action {:?}{hint}", shortened(key))))
}

/// An input as its action reads it.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) fields: Fields,
    pub(crate) debug: bool,
}

/// Reads the JSON text of an input: cleaned, and without the common inputs. `known` is one that a step took before.
pub(crate) fn input(entry: &Entry, json: &str, known: bool) -> Result<Input, Error> {
    let json = if json.trim().is_empty() { "{}" } else { json };
    let given: Value = serde_json::from_str(json)
        .map_err(|e| Error::input("", format!("the input is not JSON: {e}")))?;
    if let Some(key) = twins::twin(json, &given) {
        let why = format!("the key {:?} is there twice in one object", shortened(&key));
        return Err(Error::input("", why));
    }
    match given {
        Value::Object(fields) if fits(entry, &fields, known) => Ok(Input { fields, debug: false }),
        given => cleaned(entry, given),
    }
}

/// Whether fields are what cleaning would make of them, as most are: then their schema, which takes longer to read than all
/// else that a short action does, has nothing to say. Text that is not empty stays text, no schema limits the length of one,
/// and what its type reads is not missing, unknown or outside of a closed set. The limits of numbers are the schema's alone,
/// so that they need it until a step has taken them.
fn fits(entry: &Entry, fields: &Fields, known: bool) -> bool {
    let is_plain = |value: &Value| match value {
        Value::String(text) => !text.is_empty(),
        Value::Bool(_) => true,
        Value::Number(_) => known,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    fields.values().all(is_plain) && (entry.reads)(fields)
}

fn cleaned(entry: &Entry, given: Value) -> Result<Input, Error> {
    let schema = entry.input_schema.value();
    let Value::Object(mut fields) = clean::clean(&schema, given).map_err(misfits)? else {
        return Err(Error::input("", "the input is no JSON object"));
    };
    let debug = fields.shift_remove(DEBUG);
    Ok(Input { fields, debug: debug == Some(Value::Bool(true)) })
}

/// The state that the last step left, as JSON text.
pub(crate) fn state(json: &str) -> Result<Value, Error> {
    serde_json::from_str(json).map_err(|e| Error::internal(format!("the state is not JSON: {e}")))
}

/// The error that names all that does not fit, in words and in its details.
fn misfits(misfits: Vec<Misfit>) -> Error {
    let mut message = String::new();
    let mut details = Vec::new();
    for Misfit { path, why } in misfits {
        let joint = if message.is_empty() { "input" } else { "; " };
        let space = if path.is_empty() || !message.is_empty() { "" } else { " " };
        message.push_str(&format!("{joint}{space}{path}: {why}"));
        details.push(json!({ "path": path, "message": why }));
    }
    let mut error = Error::input("", message);
    error.details = Some(details.into());
    error
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

/// One function for all turns, since the component has it once for each action.
pub(crate) fn take<A: Action>(
    api: &Api<'_>,
    input: &Fields,
    turn: Turn<'_>,
) -> Result<Option<Step<Value>>, Error> {
    let action = read::<A>(input)?;
    let step = match turn {
        Turn::Start => action.start(api)?,
        Turn::Resume(state) => action.resume(api, read_state(state)?)?,
        Turn::Recover(state) => action.recover(api, state.map(read_state).transpose()?)?,
        Turn::Cancel(state) => return action.cancel(api, read_state(state)?).map(|()| None),
    };
    erase(step).map(Some)
}

/// Reads cleaned fields. What is wrong by now is what a field's own type refuses, in its own words.
pub(crate) fn read<T: DeserializeOwned>(fields: &Fields) -> Result<T, Error> {
    let read = |fields: &Fields| value_reader::object::<T>(fields);
    read(fields).map_err(|why| refusal(fields, &why, &|fields| read(fields).err()))
}

/// The error about the field without which there is none, or another one. Keeping the path while reading would cost the
/// component a second copy of the reading of every type.
fn refusal(
    fields: &Fields,
    why: &serde_json::Error,
    refused: &dyn Fn(&Fields) -> Option<serde_json::Error>,
) -> Error {
    let why = why.to_string();
    let culprit = fields.keys().find(|name| {
        let mut others = fields.clone();
        others.shift_remove(*name);
        refused(&others).is_none_or(|error| error.to_string() != why)
    });
    Error::input(culprit.map_or("", String::as_str), why)
}

fn read_state<S: DeserializeOwned>(state: &Value) -> Result<S, Error> {
    value_reader::value(state)
        .map_err(|e| Error::internal(format!("the state is not of this action: {e}")))
}

fn erase<S: serde::Serialize>(step: Step<S>) -> Result<Step<Value>, Error> {
    Ok(match step {
        Step::Done { output, truncated, summary, rest } => {
            Step::Done { output, truncated, summary, rest }
        }
        Step::Waiting(Waiting { state, handle, poll_after_ms, progress, emitted }) => {
            let state = serde_json::to_value(state)
                .map_err(|e| Error::internal(format!("the state cannot be kept: {e}")))?;
            Step::Waiting(Waiting { state, handle, poll_after_ms, progress, emitted })
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values that a field may have, of each type and none.
    fn any_value() -> impl Strategy<Value = Value> {
        let text = "python|GET|get|Python|objects|json|true|5|[ \\n]{0,2}|\\[\\]|\\{\\}|\\PC{1,12}";
        prop_oneof![
            6 => text.prop_map(Value::from),
            2 => any::<bool>().prop_map(Value::from),
            1 => Just(Value::Null),
            2 => "-?[0-9]{1,12}([.]0)?|[0-2]|1e2".prop_map(|number| serde_json::from_str(&number).unwrap_or_default()),
            1 => prop::collection::vec(Just(Value::from("x")), 0..2).prop_map(Value::from),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_048))]

        #[test]
        fn what_fits_is_what_cleaning_makes_of_it(
            at in 0..ACTIONS.len(),
            values in prop::collection::vec(any_value(), 16),
            given in any::<u16>(),
            unknown in prop::option::weighted(0.1, "[a-z]{1,9}"),
        ) {
            let entry = &ACTIONS[at];
            let schema = entry.input_schema.value();
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let mut fields = Fields::new();
            for (place, key) in schema["properties"].as_object().unwrap().keys().enumerate() {
                if given >> place & 1 == 1 || required.iter().any(|name| name == key) {
                    fields.insert(key.clone(), values[place].clone());
                }
            }
            fields.extend(unknown.map(|key| (key, Value::from("x"))));
            let cleaned = cleaned(entry, Value::Object(fields.clone()));
            let cleaned = cleaned.map(|input| (input.fields, input.debug));
            if fits(entry, &fields, true) && cleaned.is_ok() {
                prop_assert_eq!(&cleaned, &Ok((fields.clone(), false)), "{}", entry.key);
            }
            if fits(entry, &fields, false) {
                prop_assert_eq!(cleaned, Ok((fields, false)), "{}", entry.key);
            }
        }
    }

    #[test]
    fn texts_and_flags_fit_and_what_needs_cleaning_does_not() {
        for (key, input, expected) in [
            ("getCluster", json!({ "clusterId": "0312-091544-k7p2m9qx" }), true),
            ("listClusters", json!({}), true),
            (
                "runCommand",
                json!({ "clusterId": "c", "contextId": "x", "command": "1", "wait": false }),
                true,
            ),
            ("getCluster", json!({}), false),
            ("getCluster", json!({ "clusterId": "" }), false),
            ("getCluster", json!({ "clusterId": 7 }), false),
            ("getCluster", json!({ "clusterId": "c", "debug": true }), false),
            ("getCluster", json!({ "clusterId": "c", "other": "x" }), false),
            ("restartCluster", json!({ "clusterId": "c", "wait": "true" }), false),
            ("restartCluster", json!({ "clusterId": "c", "timeoutSeconds": 0 }), false),
        ] {
            let fields = input.as_object().unwrap();
            assert_eq!(fits(entry(key).unwrap(), fields, false), expected, "{key} {input}");
        }
    }

    #[test]
    fn a_number_fits_once_a_step_has_taken_it() {
        let entry = entry("restartCluster").unwrap();
        for (seconds, expected) in [(json!(5), true), (json!(-5), false), (json!("5"), false)] {
            let input = json!({ "clusterId": "c", "timeoutSeconds": seconds });
            let fields = input.as_object().unwrap();
            assert!(!fits(entry, fields, false), "{input}");
            assert_eq!(fits(entry, fields, true), expected, "{input}");
        }
    }
}
