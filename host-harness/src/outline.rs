//! What a component is made of, read off its sections before anything is validated or compiled: a pass that takes no longer
//! than reading the bytes, and needs no memory to speak of.

use wasmparser::{Encoding, Instance, Parser, Payload};

use crate::component::invalid;
use crate::engine::MEMORIES;
use crate::error::Error;
use crate::settings::Limits;

/// Pages of memory that do not say otherwise.
const PAGE: u64 = 64 << 10;

/// The parts that decide whether a component may be compiled.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
    functions: u64,
    instances: u64,
    memories: u64,
}

impl Outline {
    /// Reads the sections, and refuses what is too much to compile or to run.
    pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        let mut outline = Self::default();
        // How deep we are in components and modules; their own sections come between their headers and their ends.
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(damaged)? {
                Payload::Version { encoding, .. } => {
                    depth += 1;
                    if depth == 1 && encoding == Encoding::Module {
                        return Err(invalid("this is a core WebAssembly module, not a component"));
                    }
                    if depth > limits.component_nesting {
                        let limit = limits.component_nesting;
                        return Err(invalid(format!(
                            "its components are nested more than {limit} deep"
                        )));
                    }
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                payload => outline.section(payload, depth, limits)?,
            }
        }
        Ok(outline)
    }

    fn section(&mut self, payload: Payload<'_>, depth: u32, limits: &Limits) -> Result<(), Error> {
        match payload {
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    self.imports.push(import.map_err(damaged)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    self.exports.push(export.map_err(damaged)?.name.name.to_owned());
                }
            }
            Payload::FunctionSection(section) => {
                self.functions += u64::from(section.count());
                at_most(self.functions, limits.component_functions, "functions")?;
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    // The others are lists of exports, which cost nothing.
                    if let Instance::Instantiate { .. } = instance.map_err(damaged)? {
                        self.instances += 1;
                    }
                }
                at_most(self.instances, limits.instances.into(), "core instances")?;
            }
            Payload::MemorySection(section) => {
                self.memories += u64::from(section.count());
                at_most(self.memories, MEMORIES.into(), "memories")?;
                for memory in section {
                    let memory = memory.map_err(damaged)?;
                    let page = memory.page_size_log2.map_or(PAGE, |log2| 1 << log2.min(16));
                    let least = memory.initial.saturating_mul(page);
                    at_most(least, limits.memory_bytes as u64, "bytes of memory at its start")?;
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    let least = table.map_err(damaged)?.ty.initial;
                    at_most(least, limits.table_elements as u64, "table elements at its start")?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn at_most(found: u64, limit: u64, what: &str) -> Result<(), Error> {
    if found <= limit {
        return Ok(());
    }
    Err(invalid(format!("the component has {found} {what}, more than the limit of {limit}")))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
pub(crate) fn damaged(error: wasmparser::Error) -> Error {
    let cause = error.message().lines().next().unwrap_or_default();
    let cause = crate::scrub::printable(crate::scrub::clip(cause, 160));
    let offset = error.offset();
    invalid(format!("the component is damaged or incomplete at byte {offset}: {cause}"))
}
