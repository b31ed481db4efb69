//! Components made on the spot: a core module in text around a good catalog, any function of which can be replaced by one
//! that misbehaves, wrapped as a component of our world.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a guest that cannot be made is a mistake of its test"
)]

mod functions;

use functions::{FUNCTIONS, export_name};

/// What modules import, by the component around them.
const IMPORTS: [(&str, &str); 2] = [
    (
        "random",
        r#"(import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))"#,
    ),
    (
        "streams",
        r#"(import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
           (import "wasi:io/streams@0.2.0" "[method]output-stream.check-write"
               (func $check-write (param i32 i32)))
           (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop (param i32)))"#,
    ),
];

macro_rules! wrappers {
    ($($name:literal),*) => {
        [$(($name, include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".wasm")))),*]
    };
}

/// Components around a module that does nothing, by the version of their contract.
const WRAPPERS: &[(&str, &[u8])] =
    &wrappers!["0.1.0", "0.1.7", "0.2.0", "1.0.0", "2.0.0", "random", "streams"];

/// Where the static data of a guest begins, and where its heap does.
const DATA: usize = 4096;
const HEAP: usize = 384 << 10;

/// A guest in the making. As it is, it has one action, `act`, that answers with `{}`.
#[derive(Debug, Clone)]
pub struct Guest {
    version: &'static str,
    memory: String,
    wrapper: &'static str,
    items: String,
    bodies: Vec<(&'static str, String)>,
    catalog: Catalog,
    output: Vec<u8>,
    state: String,
    emitted: String,
    realloc: String,
}

/// Hands out memory and never takes it back.
const REALLOC: &str = "(local i32)
    (local.set 4 (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
    (global.set $heap (i32.add (local.get 4) (local.get 3)))
    (local.get 4)";

/// What it says about itself; lists of actions are made longer by repeating the one.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub key: String,
    pub label: String,
    pub input_schema: String,
    pub output_schema: String,
    pub example: String,
    /// Keys of its actions.
    pub actions: Vec<String>,
    pub connection_test: String,
    pub secret: String,
}

impl Default for Guest {
    fn default() -> Self {
        Self::new()
    }
}

impl Guest {
    /// One that behaves.
    pub fn new() -> Self {
        Self {
            version: "0.1.0",
            memory: r#"(memory (export "memory") 8)"#.to_owned(),
            wrapper: "0.1.0",
            items: String::new(),
            bodies: Vec::new(),
            catalog: Catalog {
                key: "hostile".to_owned(),
                label: "Hostile".to_owned(),
                input_schema: r#"{"type":"object"}"#.to_owned(),
                output_schema: r#"{"type":"object"}"#.to_owned(),
                example: r#"{"input":{},"output":{}}"#.to_owned(),
                actions: vec!["act".to_owned()],
                connection_test: "act".to_owned(),
                secret: "token".to_owned(),
            },
            output: b"{}".to_vec(),
            state: "1".to_owned(),
            emitted: String::new(),
            realloc: REALLOC.to_owned(),
        }
    }

    /// Replaces a function's body; `INTERFACE#FUNCTION` is its name, and `$OUTPUT`, `$WAITING` and the like what it could
    /// return a pointer to.
    pub fn with(mut self, function: &'static str, body: &str) -> Self {
        self.bodies.push((function, body.to_owned()));
        self
    }

    /// Adds to the module: functions, tables, a start function.
    pub fn and(mut self, items: &str) -> Self {
        self.items.push_str(items);
        self
    }

    /// Decides where arguments go.
    pub fn allocating(mut self, body: &str) -> Self {
        body.clone_into(&mut self.realloc);
        self
    }

    pub fn memory(mut self, memory: &str) -> Self {
        memory.clone_into(&mut self.memory);
        self
    }

    pub fn describing(mut self, change: impl FnOnce(&mut Catalog)) -> Self {
        change(&mut self.catalog);
        self
    }

    /// What the action answers with.
    pub fn answering(mut self, json: impl Into<Vec<u8>>) -> Self {
        self.output = json.into();
        self
    }

    /// What a waiting step remembers, and the part of the result that it brings.
    pub fn waiting(mut self, state: &str, emitted: &str) -> Self {
        state.clone_into(&mut self.state);
        emitted.clone_into(&mut self.emitted);
        self.with("actions#start", "i32.const $WAITING")
            .with("actions#resume", "i32.const $WAITING")
    }

    /// Imports `$random`, which takes a number of bytes and a place for the list of them.
    pub fn asking_for_random_bytes(mut self) -> Self {
        self.wrapper = "random";
        self
    }

    /// Imports `$stderr`, which gives the handle of a stream, `$check-write`, which takes one and a place for its answer, and
    /// `$drop`.
    pub fn holding_streams(mut self) -> Self {
        self.wrapper = "streams";
        self
    }

    /// Builds it against another version of the contract.
    pub fn of_version(mut self, version: &'static str) -> Self {
        self.version = version;
        self.wrapper = version;
        self
    }

    /// The component.
    ///
    /// # Panics
    ///
    /// Panics when what was put into it is no WebAssembly: that is a mistake of the test.
    pub fn component(&self) -> Vec<u8> {
        let text = self.module();
        let module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let (_, wrapper) = WRAPPERS.iter().find(|(name, _)| *name == self.wrapper).unwrap();
        with_module(wrapper, &module)
    }

    fn module(&self) -> String {
        let mut image = Image::default();
        let names = [
            ("$DESCRIPTION", self.catalog.write(&mut image)),
            ("$CHECKED", {
                let words = [image.text("{}"), image.text("http://127.0.0.1:1")].concat();
                image.put(&[vec![0; 8], words, vec![0; 40]].concat())
            }),
            ("$OUTPUT", self.write_output(&mut image)),
            ("$WAITING", self.write_waiting(&mut image)),
            ("$NOTHING", image.put(&[0; 32])),
        ];
        let result = |function: &str, usual: &str| {
            let own = self.bodies.iter().rev().find(|(name, _)| *name == function);
            own.map_or_else(|| usual.to_owned(), |(_, body)| body.clone())
        };
        let functions: String = FUNCTIONS
            .iter()
            .map(|(function, params, usual)| {
                let (name, body) = (export_name(function, self.version), result(function, usual));
                let params = "i32 ".repeat(*params);
                format!("(func (export \"{name}\") (param {params}) (result i32) {body})\n")
            })
            .collect();
        let data: String = image.bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let mut text = format!(
            r#"(module
            {imports}
            {memory}
            (global $heap (mut i32) (i32.const {HEAP}))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
            {functions}
            {items}
            (data (i32.const {DATA}) "{data}"))"#,
            imports = IMPORTS.iter().find(|(name, _)| *name == self.wrapper).map_or("", |it| it.1),
            memory = self.memory,
            realloc = self.realloc,
            items = self.items,
        );
        for (name, at) in names {
            text = text.replace(name, &at.to_string());
        }
        text
    }

    /// `result<step, error>` with a finished output.
    fn write_output(&self, image: &mut Image) -> usize {
        let (value, media_type) = (image.bytes_at(&self.output), image.text("application/json"));
        image.put(&[vec![0; 20], value, media_type, vec![0; 56]].concat())
    }

    /// `result<step, error>` with work that goes on.
    fn write_waiting(&self, image: &mut Image) -> usize {
        let (state, handle) = (image.text(&self.state), image.text("{}"));
        let part = image.text(&self.emitted);
        let head = vec![0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        let no_progress = vec![0; 24];
        image.put(&[head, state, handle, no_progress, vec![1, 0, 0, 0], part].concat())
    }
}

/// A component with another module in the place of its first one.
fn with_module(component: &[u8], module: &[u8]) -> Vec<u8> {
    const CORE_MODULE: u8 = 1;
    let (header, mut rest) = component.split_at(8);
    let mut made = header.to_vec();
    loop {
        let (id, after) = rest.split_first().unwrap();
        let (length, after) = leb128(after);
        let (_, next) = after.split_at(length);
        if *id == CORE_MODULE {
            made.push(CORE_MODULE);
            // Five digits hold any length, and none needs to be minimal.
            let length = u32::try_from(module.len()).unwrap();
            let digit = |n: u32| (length >> (7 * n) & 0x7f) as u8 | if n < 4 { 0x80 } else { 0 };
            made.extend((0..5).map(digit));
            made.extend(module);
            made.extend(next);
            return made;
        }
        made.extend(&rest[..rest.len() - next.len()]);
        rest = next;
    }
}

fn leb128(bytes: &[u8]) -> (usize, &[u8]) {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
    let (digits, rest) = bytes.split_at(end + 1);
    (digits.iter().rev().fold(0, |n, digit| n << 7 | usize::from(digit & 0x7f)), rest)
}

impl Catalog {
    fn write(&self, image: &mut Image) -> usize {
        let schema = image.text(r#"{"type":"object","properties":{"host":{},"token":{}}}"#);
        let (token, secret, empty) =
            (image.text("token"), image.text(&self.secret), image.text(""));
        let connection = [&token[..], &token, &empty, &[0; 4], &secret, &schema].concat();
        let connections = image.list(&[connection]);
        let (input, output) = (image.text(&self.input_schema), image.text(&self.output_schema));
        let (label, example) = (image.text(&self.label), image.text(&self.example));
        let actions: Vec<Vec<u8>> = self
            .actions
            .iter()
            .map(|key| {
                let key = image.text(key);
                let words = [&key[..], &label, &empty, &empty, &[0; 4]].concat();
                [&words[..], &input, &output, &example, &[0; 8]].concat()
            })
            .collect();
        let actions = image.list(&actions);
        let (words, any) = (image.text("words"), image.text("{}"));
        let sources = image.list(&[[&words[..], &words, &any, &[0; 8]].concat()]);
        let (key, test) = (image.text(&self.key), image.text(&self.connection_test));
        let words = [&key[..], &label, &empty, &empty, &connections, &test].concat();
        // Neither triggers nor requests that make credentials.
        image.put(&[&words[..], &actions, &sources, &[0; 16]].concat())
    }
}

/// Static memory, every piece aligned.
#[derive(Debug, Default)]
struct Image {
    bytes: Vec<u8>,
}

impl Image {
    fn put(&mut self, bytes: &[u8]) -> usize {
        let at = DATA + self.bytes.len();
        self.bytes.extend(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        assert!(DATA + self.bytes.len() <= HEAP, "the guest's data has no room");
        at
    }

    /// Pointer and length.
    fn bytes_at(&mut self, bytes: &[u8]) -> Vec<u8> {
        let at = self.put(bytes);
        [at, bytes.len()].map(|n| u32::try_from(n).unwrap().to_le_bytes()).concat()
    }

    fn text(&mut self, text: &str) -> Vec<u8> {
        self.bytes_at(text.as_bytes())
    }

    fn list(&mut self, items: &[Vec<u8>]) -> Vec<u8> {
        let at = self.put(&items.concat());
        [at, items.len()].map(|n| u32::try_from(n).unwrap().to_le_bytes()).concat()
    }
}
