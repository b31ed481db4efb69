//! What an action is, and the table entry that erases its type. Not here: the actions (`actions/`), how input is cleaned
//! and an entry found (`dispatch.rs`).

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::api::Api;
use crate::error::Error;
use crate::http::Stream;
use crate::views::View;
use crate::{dispatch, value_reader, views};

/// Section of the palette.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Clusters,
    Commands,
    Sql,
    Identity,
    Raw,
}

impl Group {
    /// Name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Clusters => "Clusters",
            Self::Commands => "Commands",
            Self::Sql => "SQL",
            Self::Identity => "Identity",
            Self::Raw => "Raw Request",
        }
    }
}

/// What an action does to the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Reads,
    Writes,
    Destroys,
}

/// What repeating a request does; see `retry-class` of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    Safe,
    Keyed,
    Convergent,
    Reconcile,
    Never,
    Manual,
}

impl Retry {
    /// Whether a request must not be repeated once it may have arrived.
    pub(crate) fn is_fragile(self) -> bool {
        matches!(self, Self::Reconcile | Self::Never)
    }
}

/// Where a request goes; see `audience` of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    Workspace,
    Account,
    SignedLink,
}

/// One request that an action may make. The host lets nothing else out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    pub method: &'static str,
    /// `{name}` stands for one path segment, a final `*` for any rest.
    pub path: &'static str,
    pub audience: Audience,
    pub retry: Retry,
}

impl Endpoint {
    /// A read of the workspace.
    pub const fn get(path: &'static str) -> Self {
        Self { method: "GET", path, audience: Audience::Workspace, retry: Retry::Safe }
    }

    /// A change of the workspace.
    pub const fn post(path: &'static str, retry: Retry) -> Self {
        Self { method: "POST", path, audience: Audience::Workspace, retry }
    }
}

/// A result, or its last part.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// JSON text, not re-typed.
    Json(String),
    Text(String),
    /// Text of another type than plain.
    Typed {
        text: String,
        content_type: &'static str,
    },
    Binary {
        bytes: Vec<u8>,
        content_type: String,
    },
}

/// How a step of an action ended. `S` is the action's own state between steps.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<S> {
    Done {
        output: Output,
        truncated: bool,
        /// What there is to say of the result where it has no place for it; a JSON object.
        summary: Option<Value>,
        /// What follows `output`, which has only its own kind then.
        rest: Option<Rest>,
    },
    Waiting(Waiting<S>),
}

/// A large answer that is passed on.
#[derive(Debug, Clone, PartialEq)]
pub struct Rest {
    /// What was read of it.
    pub start: Vec<u8>,
    /// What follows, for the host to read.
    pub bytes: Stream,
    /// The error of the action when that breaks off.
    pub broken_off: Error,
}

/// Work that goes on remotely.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting<S> {
    pub state: S,
    /// What runs remotely, for people: ids under Databricks' own names.
    pub handle: Value,
    pub poll_after_ms: u32,
    /// One line: what is waited for and its state.
    pub progress: Option<String>,
    /// Part of a long result.
    pub emitted: Option<Vec<u8>>,
}

impl<S> Step<S> {
    /// Done, with a value that we made.
    pub fn done(value: &impl Serialize) -> Result<Self, Error> {
        let text = serde_json::to_string(value)
            .map_err(|e| Error::internal(format!("the result is not JSON: {e}")))?;
        Ok(Self::json(text))
    }

    /// Done, with JSON text that stays as it is.
    pub fn json(text: String) -> Self {
        Self::Done { output: Output::Json(text), truncated: false, summary: None, rest: None }
    }
}

/// An action, implemented by its own input type. One file per action, see `actions/get_cluster.rs`.
///
/// The doc comment of the type is its label (the `# Heading`) and its description, those of the fields are the form.
/// Fields are camelCase (`#[serde(rename_all = "camelCase", deny_unknown_fields)]`), in the order of the form.
pub trait Action: DeserializeOwned + JsonSchema + 'static {
    const GROUP: Group;
    const EFFECT: Effect;
    /// Every request that any step may make, in the order of their first use.
    const ENDPOINTS: &'static [Endpoint];

    /// Shape of the result, for the output schema alone.
    type Output: JsonSchema;
    /// What is kept between steps; `()` for an action of one step.
    type State: Serialize + DeserializeOwned;

    /// Takes the first step.
    fn start(self, api: &Api<'_>) -> Result<Step<Self::State>, Error>;

    /// Takes the next step.
    fn resume(self, _api: &Api<'_>, _state: Self::State) -> Result<Step<Self::State>, Error> {
        Err(Error::internal("this action has one step and cannot be resumed"))
    }

    /// Takes up what a host left that died after a fragile request; see `recover` of the contract. By itself it sends nothing
    /// and says that nobody knows.
    fn recover(
        self,
        _api: &Api<'_>,
        _state: Option<Self::State>,
    ) -> Result<Step<Self::State>, Error> {
        Err(Error::interrupted())
    }

    /// Asks for the remote work to stop; see `cancel` of the contract.
    fn cancel(self, _api: &Api<'_>, _state: Self::State) -> Result<(), Error> {
        Ok(())
    }

    /// An input, the answers of the workspace in order, and what the action makes of them. Shown in the docs, run by the tests.
    fn example() -> Example;
}

/// A use of an action that the docs show and the tests run.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    pub input: Value,
    /// Bodies of the workspace's answers (status 200), over all steps.
    pub answers: Vec<Value>,
    pub output: Value,
}

/// What is asked of an action, with the state that it left.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Turn<'a> {
    Start,
    Resume(&'a Value),
    Recover(Option<&'a Value>),
    Cancel(&'a Value),
}

/// Takes a turn; after a cancellation there is no step.
pub(crate) type Take = fn(&Api<'_>, &Fields, Turn<'_>) -> Result<Option<Step<Value>>, Error>;

/// The fields of an input.
pub type Fields = Map<String, Value>;

/// An action in the table, its types erased.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "function pointers say nothing to a reader")]
pub struct Entry {
    pub key: &'static str,
    pub group: Group,
    pub effect: Effect,
    pub endpoints: &'static [Endpoint],
    pub input_schema: View,
    pub output_schema: View,
    /// Input and output of the example.
    pub shown: View,
    #[cfg(not(target_family = "wasm"))]
    pub example: fn() -> Example,
    /// Whether the fields can be read as they are.
    pub(crate) reads: fn(&Fields) -> bool,
    pub(crate) take: Take,
}

impl Entry {
    /// The entry of an action with its views; see `views::entry`.
    pub(crate) const fn of<A: Action>(
        key: &'static str,
        input_schema: View,
        output_schema: View,
        shown: View,
    ) -> Self {
        Self {
            key,
            group: A::GROUP,
            effect: A::EFFECT,
            endpoints: A::ENDPOINTS,
            input_schema,
            output_schema,
            shown,
            #[cfg(not(target_family = "wasm"))]
            example: A::example,
            reads: |fields| value_reader::object::<A>(fields).is_ok(),
            take: dispatch::take::<A>,
        }
    }

    /// Name for people.
    pub fn label(&self) -> String {
        views::text(&self.input_schema.value(), "title")
    }
}
