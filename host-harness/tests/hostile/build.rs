//! Makes the components that guests are put into: for each version of the contract, one around a module that does nothing.
//! That is done here and not when guests are made, since the crates that do it would otherwise change how wasmtime is built.
#![expect(clippy::unwrap_used, reason = "a build that cannot be done has to fail")]

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

#[path = "src/functions.rs"]
mod functions;

const CONTRACT: &str = "../../../wit/connector.wit";
const STREAMS: &str = "../../../wit/deps/wasi-io.wit";

/// Versions of the contract that guests can be built against.
const VERSIONS: [&str; 5] = ["0.1.0", "0.1.7", "0.2.0", "1.0.0", "2.0.0"];

const I32: u8 = 0x7f;
const I64: u8 = 0x7e;

/// A function that a guest can import: its interface, its name, and what a module passes and gets.
type Import = (&'static str, &'static str, &'static [u8], &'static [u8]);

/// What guests can import beside nothing: a name for it, the interfaces in WIT, and the functions.
const IMPORTS: [(&str, &str, &[Import]); 2] = [
    (
        "random",
        "package wasi:random@0.2.0 {
            interface random { get-random-bytes: func(len: u64) -> list<u8>; }
        }",
        &[("wasi:random/random@0.2.0", "get-random-bytes", &[I64, I32], &[])],
    ),
    (
        "streams",
        "package wasi:cli@0.2.0 {
            interface stderr {
                use wasi:io/streams@0.2.0.{output-stream};
                get-stderr: func() -> output-stream;
            }
        }",
        &[
            ("wasi:cli/stderr@0.2.0", "get-stderr", &[], &[I32]),
            ("wasi:io/streams@0.2.0", "[method]output-stream.check-write", &[I32, I32], &[]),
            ("wasi:io/streams@0.2.0", "[resource-drop]output-stream", &[I32], &[]),
        ],
    ),
];

fn main() {
    println!("cargo::rerun-if-changed={CONTRACT}");
    println!("cargo::rerun-if-changed={STREAMS}");
    println!("cargo::rerun-if-changed=src/functions.rs");
    let contract = std::fs::read_to_string(CONTRACT).unwrap();
    for version in VERSIONS {
        let contract = contract.replace("connector@0.1.0", &format!("connector@{version}"));
        write(version, &contract, version, &[]);
    }
    for (name, interfaces, imports) in IMPORTS {
        let names: std::collections::BTreeSet<_> = imports.iter().map(|import| import.0).collect();
        let names: String = names.iter().map(|name| format!(" import {name};")).collect();
        let world = "world connector {";
        let importing = contract.replace(world, &format!("{world}{names}"));
        write(name, &format!("{importing}\n{interfaces}"), "0.1.0", imports);
    }
}

fn write(name: &str, contract: &str, version: &str, imports: &[Import]) {
    let mut resolve = Resolve::default();
    let streams = std::fs::read_to_string(STREAMS).unwrap();
    resolve.push_str("wasi-io.wit", &streams).unwrap();
    let package = resolve.push_str("connector.wit", contract).unwrap();
    let world = resolve.select_world(&[package], Some("connector")).unwrap();
    let mut module = idle(version, imports);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let encoder = ComponentEncoder::default().module(&module).unwrap();
    let component = encoder.validate(true).encode().unwrap();
    let folder = std::env::var("OUT_DIR").unwrap();
    std::fs::write(Path::new(&folder).join(format!("{name}.wasm")), component).unwrap();
}

/// A core module with the contract's exports, none of which does anything. Written by hand, for want of a crate that does
/// not change how others are built.
fn idle(version: &str, imports: &[Import]) -> Vec<u8> {
    let names = functions::FUNCTIONS
        .map(|(function, params, _)| (functions::export_name(function, version), params));
    let all: Vec<(String, usize)> =
        names.into_iter().chain([("cabi_realloc".to_owned(), 4)]).collect();
    let type_of = |params: &[u8], results: &[u8]| {
        [&[0x60, byte(params.len())], params, &[byte(results.len())], results].concat()
    };
    let own = all.iter().map(|(_, params)| type_of(&vec![I32; *params], &[I32]));
    let types = own.chain(imports.iter().map(|(_, _, params, results)| type_of(params, results)));
    let types: Vec<_> = types.collect();
    let imported = imports.iter().enumerate().map(|(n, (interface, name, ..))| {
        [text(interface), text(name), vec![0, byte(all.len() + n)]].concat()
    });
    let imported: Vec<_> = imported.collect();
    let functions: Vec<Vec<u8>> = (0..all.len()).map(|n| vec![byte(n)]).collect();
    let exports = all
        .iter()
        .enumerate()
        .map(|(n, (name, _))| [text(name), vec![0, byte(n + imported.len())]].concat());
    let exports: Vec<_> = exports.chain([[text("memory"), vec![2, 0]].concat()]).collect();
    let unreachable = vec![vec![3, 0, 0x00, 0x0b]; all.len()];
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &types),
        section(2, &imported),
        section(3, &functions),
        section(5, &[vec![0, 1]]),
        section(7, &exports),
        section(10, &unreachable),
    ]
    .concat()
}

fn section(id: u8, items: &[Vec<u8>]) -> Vec<u8> {
    let content = [vec![byte(items.len())], items.concat()].concat();
    let digit = |n: usize| byte(content.len() >> (7 * n) & 0x7f) | if n < 4 { 0x80 } else { 0 };
    [vec![id], (0..5).map(digit).collect(), content].concat()
}

fn text(text: &str) -> Vec<u8> {
    [vec![byte(text.len())], text.as_bytes().to_vec()].concat()
}

/// Small numbers are their own LEB128.
fn byte(n: usize) -> u8 {
    u8::try_from(n).unwrap()
}
