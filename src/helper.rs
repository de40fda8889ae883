//! Runs credential helpers (`docker-credential-NAME`), with a deadline.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use kiln_registry::credentials::{HelperOutput, HelperRequest};

/// A helper may ask its user for a fingerprint; one that is silent for this long hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs one call of a helper.
pub fn run(request: &HelperRequest<'_>) -> Result<HelperOutput, String> {
    let program = format!("docker-credential-{}", request.helper);
    let mut child = Command::new(&program)
        .arg(request.verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run `{program}`: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input says why on its own streams.
        let _ = stdin.write_all(request.input.as_bytes());
    }
    let stdout = read(child.stdout.take());
    let stderr = read(child.stderr.take());
    match (stdout.recv_timeout(DEADLINE), stderr.recv_timeout(DEADLINE)) {
        (Ok(stdout), Ok(stderr)) => {
            let success = child
                .wait()
                .map_err(|error| format!("waiting for `{program}`: {error}"))?
                .success();
            Ok(HelperOutput {
                success,
                stdout,
                stderr,
            })
        }
        _ => {
            end(&mut child);
            Err(format!(
                "`{program}` gave no answer within {} seconds",
                DEADLINE.as_secs()
            ))
        }
    }
}

/// Reads a stream to its end on a thread of its own, so that neither stream can block the other.
fn read(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let _ = stream.read_to_end(&mut bytes);
        }
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
