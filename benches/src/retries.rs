//! How failing services are dealt with: waits that they ask for, calls that get through a brown-out, and how much harder an
//! outage is hit. Waits are skipped, requests are real.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use host_harness::{Call, CancellationToken, Clock, Connection, Harness, Settings};

use crate::answers::{Server, answer};
use crate::figures::report;
use crate::rig::{self, Rig};

/// The longest wait that is asked for in the benchmark, in seconds.
const LONGEST: u64 = 60;

pub(crate) fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        asked_waits(1_000).await?;
        outage(1_000).await?;
        brown_out(3_000).await
    })
}

/// A harness whose clock skips waits.
struct Skipping {
    harness: Harness,
    connection: Connection,
    clock: Clock,
    _rig: Rig,
}

impl Skipping {
    async fn to(server: &Server) -> Result<Self> {
        let rig = Rig::start()?;
        let clock = Clock::skipping();
        let mut settings = Settings { clock: clock.clone(), ..rig.settings() };
        // The rate is another figure.
        settings.limits.requests_per_second = 0;
        let harness = Harness::load(&rig::component()?, settings)?;
        let connection = harness.connect(rig.connection_to(&server.origin)).await?;
        Ok(Self { harness, connection, clock, _rig: rig })
    }

    /// Whether a Get Cluster succeeded.
    async fn call(&self) -> bool {
        let call = Call {
            action: "getCluster".to_owned(),
            input: r#"{"clusterId":"0312-091544-k7p2m9qx"}"#.to_owned(),
            ..Call::default()
        };
        self.harness.invoke(&self.connection, call, &(), CancellationToken::new()).await.is_ok()
    }
}

/// Every first answer asks for a wait, in seconds or in one of the three forms of a date.
async fn asked_waits(calls: u64) -> Result<()> {
    let seconds = |request: usize| (request as u64 / 2) % LONGEST + 1;
    let server = Server::start(move |request| {
        if request % 2 == 1 {
            return answer(200, "");
        }
        let wait = seconds(request);
        let date = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let (now, until) = (date, date + Duration::from_secs(wait));
        let asked = match (request / 2) % 4 {
            0 => wait.to_string(),
            1 => imf(until),
            2 => rfc850(until),
            _ => asctime(until),
        };
        answer(429, &format!("date: {}\r\nretry-after: {asked}\r\n", imf(now)))
    })?;
    let rig = Skipping::to(&server).await?;
    let (mut early, mut largest) = (0, 0.0_f64);
    for call in 0..calls {
        let (before, asked) = (rig.clock.skipped(), Duration::from_secs(call % LONGEST + 1));
        ensure!(rig.call().await, "a call failed");
        let waited = rig.clock.skipped() - before;
        early += u32::from(waited < asked);
        let allowed = asked.mul_f64(0.1) + Duration::from_millis(250);
        largest = largest.max((waited.saturating_sub(asked)).div_duration_f64(allowed));
    }
    let figures = format!("{early} early, at most {largest:.2} of the allowed overshoot");
    report(
        &format!("retries: {calls} waits that were asked for"),
        &figures,
        "0 early, 1 (10 % + 250 ms)",
    );
    Ok(())
}

async fn outage(calls: usize) -> Result<()> {
    let server = Server::start(|_| answer(503, ""))?;
    let rig = Skipping::to(&server).await?;
    for _ in 0..calls {
        ensure!(!rig.call().await, "a call succeeded");
    }
    let figures = format!("{:.3} requests for a call", per(server.requests(), calls));
    report(&format!("retries: outage, {calls} calls"), &figures, "at most 1.11");
    Ok(())
}

async fn brown_out(calls: usize) -> Result<()> {
    let lots = Mutex::new(Lots(0x2545_f491_4f6c_dd1d));
    let server = Server::start(move |_| {
        let unlucky = lots.lock().is_ok_and(|mut lots| lots.next() % 10 < 3);
        answer(if unlucky { 503 } else { 200 }, "")
    })?;
    let rig = Skipping::to(&server).await?;
    let mut succeeded = 0;
    for _ in 0..calls {
        succeeded += usize::from(rig.call().await);
    }
    let figures = format!(
        "{:.2} % succeeded, {:.2} requests for a call",
        per(succeeded, calls) * 100.0,
        per(server.requests(), calls)
    );
    report(
        &format!("retries: 30 % of answers are 503, {calls} calls"),
        &figures,
        "at least 99.5 %",
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn per(a: usize, b: usize) -> f64 {
    a as f64 / b as f64
}

/// The same lots in every run (xorshift).
struct Lots(u64);

impl Lots {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn imf(time: SystemTime) -> String {
    httpdate::fmt_http_date(time)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`, from `Sun, 06 Nov 1994 08:49:37 GMT`.
fn rfc850(time: SystemTime) -> String {
    let text = imf(time);
    match text.split([' ', ',']).filter(|word| !word.is_empty()).collect::<Vec<_>>().as_slice() {
        [_, day, month, year, clock, zone] => {
            let year = year.get(2..).unwrap_or_default();
            format!("Sunday, {day}-{month}-{year} {clock} {zone}")
        }
        _ => text,
    }
}

/// `Sun Nov  6 08:49:37 1994`.
fn asctime(time: SystemTime) -> String {
    let text = imf(time);
    match text.split([' ', ',']).filter(|word| !word.is_empty()).collect::<Vec<_>>().as_slice() {
        [weekday, day, month, year, clock, _] => {
            let day = day.trim_start_matches('0');
            format!("{weekday} {month} {day:>2} {clock} {year}")
        }
        _ => text,
    }
}
