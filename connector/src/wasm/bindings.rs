//! What wit-bindgen makes of the contract. Nothing by hand.

#![expect(unsafe_code, reason = "generated: strings and lists cross the boundary as raw memory")]

wit_bindgen::generate!({
    path: "../wit",
    world: "connector",
    with: {
        "wasi:io/error@0.2.0": waki::bindings::wasi::io::error,
        "wasi:io/poll@0.2.0": waki::bindings::wasi::io::poll,
        "wasi:io/streams@0.2.0": waki::bindings::wasi::io::streams,
    },
});

use super::Component;

export!(Component);
