//! From the bytes of a component to native code, in this process or in one that can be killed.
//!
//! Compiling is the one thing that is done with a foreign component before any limit of its own can be set: it may take any
//! time and any memory. So a host names a program that does it apart, with a limit on both; the program `harness` is one,
//! and so is every other whose `main` begins with [`serve_compile_requests`].

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;

use rustix::process::{Resource, Rlimit, Signal};
use wasmparser::{Validator, WasmFeatures};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache;
use crate::component::invalid;
use crate::engine;
use crate::error::{Error, ErrorKind};
use crate::outline::damaged;
use crate::scrub::{clip, printable};
use crate::settings::Limits;

/// The first argument of a program that is to compile a component from its standard input to its standard output.
const REQUEST: &str = "compile-component-from-stdin";

/// Native code of a component, and its compiled form.
pub(crate) struct Compiled {
    pub(crate) component: Component,
    pub(crate) code: Vec<u8>,
}

/// Compiles a component, apart where there is a program for it.
pub(crate) fn compile(
    engine: &Engine,
    bytes: &[u8],
    program: Option<&Path>,
    limits: &Limits,
) -> Result<Compiled, Error> {
    let code = match program {
        Some(program) => apart(program, engine, bytes, limits)?,
        None => native(engine, bytes)?,
    };
    let component = cache::load(engine, &code).map_err(|error| {
        let cause = error.root_cause().to_string();
        let cause = printable(clip(cause.lines().next().unwrap_or_default(), 200));
        invalid(format!("the compiled component cannot be loaded: {cause}"))
    })?;
    Ok(Compiled { component, code })
}

/// Validates all of a component, then compiles it. Damage is found in milliseconds, before the compiler sees any of it.
fn native(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    Validator::new_with_features(WasmFeatures::default()).validate_all(bytes).map_err(damaged)?;
    engine.precompile_component(bytes).map_err(|error| {
        let cause = error.root_cause().to_string();
        let cause = cause.lines().next().unwrap_or_default();
        invalid(format!("the component cannot be compiled: {}", printable(clip(cause, 200))))
    })
}

/// Has a program compile, within limits.
fn apart(program: &Path, engine: &Engine, bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    let failed = |error: io::Error| {
        let message =
            format!("{}, which compiles components, cannot run: {error}", program.display());
        Error::new(ErrorKind::HostIo, message)
    };
    let mut child = Command::new(program)
        .arg(REQUEST)
        .args(
            [limits.compile_memory_bytes, limits.compile.as_secs().saturating_add(1)]
                .map(|n| n.to_string()),
        )
        .arg(engine::fingerprint(engine).to_string())
        // It is to read foreign bytes: nothing of ours is within its reach that it does not need.
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let talked = talk(&mut child, bytes, limits);
    let ended = child.wait().map_err(failed)?;
    match talked {
        None => {
            let time = limits.compile.as_secs_f32();
            Err(invalid(format!("the component took longer than {time} s to compile")))
        }
        Some((code, _)) if ended.success() && !code.is_empty() => Ok(code),
        Some((_, said)) if ended.code() == Some(REFUSED.into()) => Err(invalid(said)),
        Some((_, said)) => {
            let memory = limits.compile_memory_bytes;
            let said = said.lines().next().unwrap_or_default();
            Err(invalid(format!(
                "the component cannot be compiled within {memory} bytes of memory ({ended}: {said})"
            )))
        }
    }
}

/// What a program answered and said, or nothing when it took too long.
fn talk(child: &mut Child, bytes: &[u8], limits: &Limits) -> Option<(Vec<u8>, String)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (send, answer) = mpsc::channel();
    let read = |from: Option<Box<dyn Read + Send>>, limit: u64| {
        let mut read = Vec::new();
        let _ = from.map(|from| from.take(limit).read_to_end(&mut read));
        read
    };
    std::thread::scope(|scope| {
        // One that ends early breaks the pipe, and its end says why.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(bytes)));
        let stderr = stderr.map(|it| Box::new(it) as Box<dyn Read + Send>);
        let said = scope.spawn(move || read(stderr, 4 << 10));
        let stdout = stdout.map(|it| Box::new(it) as Box<dyn Read + Send>);
        scope.spawn(move || send.send(read(stdout, limits.compile_memory_bytes)));
        let code = answer.recv_timeout(limits.compile).ok();
        if code.is_none() {
            // The others read to its end.
            let _ = child.kill();
        }
        let said = said.join().unwrap_or_default();
        Some((code?, printable(clip(&String::from_utf8_lossy(&said), 300))))
    })
}

/// Exit code of a program that refuses a component, and says why on standard error.
const REFUSED: u8 = 65;

/// Compiles the component on standard input, when this process was started for that; else there is nothing to do.
///
/// Programs that name themselves as [`compiler`](crate::Settings::compiler) call it first of all, and end with what it
/// returns.
pub fn serve_compile_requests() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != REQUEST {
        return None;
    }
    let mut number = || arguments.next()?.to_str()?.parse::<u64>().ok();
    let outcome = match [number(), number(), number()] {
        [Some(memory), Some(seconds), Some(engine)] => serve(memory, seconds, engine),
        _ => Err("the limits are missing".to_owned()),
    };
    Some(match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(io::stderr(), "{why}");
            ExitCode::from(REFUSED)
        }
    })
}

fn serve(memory: u64, seconds: u64, engine: u64) -> Result<(), String> {
    confine(memory, seconds).map_err(|error| format!("the limits cannot be set: {error}"))?;
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let engine = engine::compiler(engine).ok_or(
        "the program that compiles components is of another version than the one that asks",
    )?;
    let code = native(&engine, &bytes).map_err(|error| error.message)?;
    io::stdout().write_all(&code).map_err(|error| error.to_string())
}

/// Limits that hold whatever becomes of the process that waits for us.
fn confine(memory: u64, seconds: u64) -> io::Result<()> {
    // Private writable memory, which is what a compiler takes; the address space has room for more by design.
    limit(Resource::Data, memory)?;
    // Seconds of computing on every core there is.
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    limit(Resource::Cpu, seconds.saturating_mul(cores))?;
    limit(Resource::Core, 0)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let limit = Rlimit { current: Some(value), maximum: Some(value) };
    Ok(rustix::process::setrlimit(resource, limit)?)
}
