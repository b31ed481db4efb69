//! What wit-bindgen makes of the contract. Nothing by hand.

#![expect(unsafe_code, reason = "generated: strings and lists cross the boundary as raw memory")]

wit_bindgen::generate!({ path: "../wit", world: "connector" });

use super::Component;

export!(Component);
