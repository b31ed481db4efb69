//! Loads any component of the `integration:connector` world.
