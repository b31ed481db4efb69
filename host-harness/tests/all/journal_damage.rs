//! Journals that are cut, changed or from elsewhere: all that was promised is there, or an error says that it is not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host_harness::journal::{Journal, Record};
use host_harness::{Call, CancellationToken, ErrorKind};
use serde_json::{Value as Json, json};

use crate::fixtures::{config, folder};
use crate::journal::journaling;
use crate::server::{Reply, Server};

const DATABASE: &str = "journal.db";
const LOG: &str = "journal.db-wal";
const MARK: &str = "journal.mark";

/// The files of a journal, and what is in them.
struct Image {
    files: Vec<(&'static str, Vec<u8>)>,
    content: Json,
}

impl Image {
    /// A journal of some ended and one interrupted invocation, each with its log and some with a result. When it is `folded`,
    /// it stands in the database; else in the write-ahead log alone.
    async fn new(folded: bool) -> Self {
        let server = Server::start(|_| Reply::json("{}")).await;
        let folder = folder();
        let harness = journaling(&folder);
        let connection = harness.connect(config(&server.url)).await.unwrap();
        for n in 0..8 {
            let call = Call {
                action: "job".to_owned(),
                input: json!({"url": server.url, "steps": n % 3, "large": n * 1000}).to_string(),
                id: (n % 2 == 0).then(|| format!("job {n}")),
                deadline: (n == 7).then(|| Duration::from_millis(1)),
                ..Call::default()
            };
            let _ = harness.invoke(&connection, call, &(), CancellationToken::new()).await;
        }
        let journal = harness.journal().await.unwrap();
        journal.flush().await.unwrap();
        if folded {
            journal.prune(Duration::from_hours(24)).await.unwrap();
        }
        let content = content(&folder).await.unwrap();
        assert!(content.as_array().unwrap().len() >= 6, "{content}");
        drop(harness);
        let files =
            [DATABASE, LOG, MARK].map(|name| (name, std::fs::read(folder.join(name)).unwrap()));
        Self { files: files.into(), content }
    }

    /// What is read of the journal when one of its files is another.
    async fn with(
        &self,
        place: &Path,
        name: &str,
        bytes: &[u8],
    ) -> Result<Json, host_harness::Error> {
        let _ = std::fs::remove_dir_all(place);
        std::fs::create_dir(place).unwrap();
        for (other, content) in &self.files {
            let content = if *other == name { bytes } else { content };
            std::fs::write(place.join(other), content).unwrap();
        }
        content(place).await
    }

    fn file(&self, name: &str) -> &[u8] {
        &self.files.iter().find(|(other, _)| *other == name).unwrap().1
    }

    /// All of it is there, or it is said to be damaged. Counts the latter.
    async fn holds(&self, place: &Path, name: &str, bytes: &[u8], what: &str) -> usize {
        match self.with(place, name, bytes).await {
            Ok(content) => {
                assert_eq!(content, self.content, "{name}, {what}: believed");
                0
            }
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::HostIo, "{name}, {what}: {error}");
                let said = ["is damaged (", "was written by a newer harness"];
                assert!(
                    said.iter().any(|said| error.message.contains(said)),
                    "{name}, {what}: {error}"
                );
                assert!(error.message.chars().count() <= 300, "{error}");
                1
            }
        }
    }
}

/// All that a journal tells: records, inputs, outcomes, logs.
async fn content(folder: &Path) -> Result<Json, host_harness::Error> {
    let journal = Journal::open(folder).await?;
    let mut all = Vec::new();
    for record in journal.records().await? {
        let found: Record = journal.find(&record.id).await?;
        let outcome = journal.outcome(&record).await?.map(|outcome| format!("{outcome:?}"));
        let lines: Vec<_> =
            journal.log(&record.id, 0).await?.into_iter().map(|line| line.text).collect();
        let input = journal.input(&record).await?;
        assert_eq!(format!("{found:?}"), format!("{record:?}"));
        all.push(json!({
            "record": serde_json::to_value(&record).unwrap(),
            "input": input, "outcome": outcome, "lines": lines,
        }));
    }
    Ok(all.into())
}

fn place() -> PathBuf {
    folder().join("journal")
}

/// I10: a byte changed anywhere in the database, its log or its mark: everything is there, or it is said to be damaged.
#[tokio::test]
async fn a_changed_byte_is_never_believed() {
    let place = place();
    for folded in [false, true] {
        let image = Image::new(folded).await;
        let mut refused = 0;
        for (name, stride) in [(DATABASE, 101), (LOG, 211), (MARK, 1)] {
            let whole = image.file(name);
            for (n, at) in (0..whole.len()).step_by(stride).enumerate() {
                let mut bytes = whole.to_vec();
                bytes[at] ^= [0xff, 1, 0x80, 0x20][n % 4];
                refused += image.holds(&place, name, &bytes, &format!("byte {at}")).await;
            }
        }
        assert!(refused > 100, "{refused}");
    }
}

/// I10: files that are cut anywhere: what was promised to last is there, or it is said to be damaged.
#[tokio::test]
async fn a_cut_file_is_never_believed() {
    let place = place();
    for folded in [false, true] {
        let image = Image::new(folded).await;
        let mut refused = 0;
        for (name, stride) in [(DATABASE, 997), (LOG, 1499), (MARK, 1)] {
            let whole = image.file(name);
            let ends = (0..whole.len())
                .step_by(stride)
                .chain((1..10).map(|n| whole.len().saturating_sub(n)));
            for end in ends {
                // Nothing at all is how a mark begins.
                if name == MARK && end == 0 {
                    continue;
                }
                refused += image.holds(&place, name, &whole[..end], &format!("cut at {end}")).await;
            }
        }
        assert!(refused > 20, "{refused}");
    }
}

/// I10: what a crash leaves behind the last commit, half written, is no reason to refuse the rest.
#[tokio::test]
async fn a_torn_end_is_dropped() {
    let image = Image::new(false).await;
    let place = place();
    let frame = 24 + 4096;
    for extra in [1, 24, 100, frame, frame + 7] {
        let log = image.file(LOG);
        // A frame of the same log that does not follow from the one before it.
        let torn = [log, &log[32..32 + extra]].concat();
        let content = image.with(&place, LOG, &torn).await.unwrap();
        assert_eq!(content, image.content, "{extra}");
    }
}

/// A journal of a later version is left alone.
#[tokio::test]
async fn a_newer_journal_is_refused() {
    let image = Image::new(true).await;
    let mut bytes = image.file(DATABASE).to_vec();
    // The version that its owner gives to a database (https://sqlite.org/fileformat.html, offset 60).
    bytes[60..64].copy_from_slice(&2_u32.to_be_bytes());
    let error = image.with(&place(), DATABASE, &bytes).await.unwrap_err();
    assert!(error.message.contains("newer harness (form 2, this one knows 1)"), "{error}");
}

/// I4: a folder that cannot be written is an error that names it, and so is one that is somebody else's link.
#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let folder = folder();
    let link = folder.join("link");
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    let file = folder.join("file");
    std::fs::write(&file, "text").unwrap();
    for path in [&link, &file, Path::new("/proc/nowhere")] {
        let error = Journal::open(path).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::HostIo);
        assert!(error.message.contains(&path.display().to_string()), "{error}");
    }
}
