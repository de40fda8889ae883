//! `kiln top`: the processes of a container.

use std::process::Command;

use anyhow::Context;
use kiln_runtime::container::{Containers, ProcessStat};

use crate::cli::TopArgs;
use crate::error::CommandError;
use crate::format;
use crate::host::Host;
use crate::output;
use crate::settings::Settings;

/// Ticks of a second in `/proc` (`USER_HZ`): 100 on every architecture that kiln runs on.
const TICKS: u64 = 100;

/// Lists the processes, or has ps(1) do it when it is given options.
pub fn run(args: &TopArgs, settings: &Settings) -> Result<u8, CommandError> {
    let host = Host::local(settings)?;
    let container = Containers::open(host.store.clone())?.find(&args.container)?;
    let processes = container.processes()?;
    let text = if args.options.is_empty() {
        own_table(&processes)?
    } else {
        table_of_ps(&args.options, &processes)?
    };
    output::data(&text)?;
    Ok(0)
}

/// The columns of `ps -ef`, docker's default.
fn own_table(processes: &[ProcessStat]) -> Result<String, CommandError> {
    let boot = boot_time()?;
    let mut rows = Vec::new();
    for process in processes {
        let path = format!("/proc/{}", process.pid);
        // One that has just ended is left out.
        let Ok(status) = std::fs::metadata(&path) else {
            continue;
        };
        let started = boot + i64::try_from(process.started / TICKS).unwrap_or(0);
        rows.push(vec![
            user_name(std::os::unix::fs::MetadataExt::uid(&status)),
            process.pid.to_string(),
            process.parent.to_string(),
            "0".to_owned(),
            clock(started),
            terminal_name(process.terminal),
            elapsed(process.ticks / TICKS),
            command_line(process),
        ]);
    }
    let heads = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
    Ok(format::table(&heads, &rows))
}

fn boot_time() -> Result<i64, CommandError> {
    let text = std::fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let time = text.lines().find_map(|line| line.strip_prefix("btime "));
    Ok(time
        .and_then(|time| time.trim().parse().ok())
        .unwrap_or_default())
}

fn user_name(uid: u32) -> String {
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| uid.to_string())
}

fn clock(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time
            .to_zoned(jiff::tz::TimeZone::UTC)
            .strftime("%H:%M")
            .to_string(),
        Err(_) => "?".to_owned(),
    }
}

fn elapsed(seconds: u64) -> String {
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Terminals of containers are all of devpts.
fn terminal_name(device: u64) -> String {
    /// The first of the major numbers of pseudo terminals.
    const PTS: u64 = 136;
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
    match major {
        PTS..=143 => format!("pts/{}", (major - PTS) * 256 + minor),
        _ => "?".to_owned(),
    }
}

fn command_line(process: &ProcessStat) -> String {
    let bytes = std::fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    match text.trim() {
        "" => format!("[{}]", process.name),
        text => format::printable(text),
    }
}

/// What ps(1) says of these processes, as docker asks it: for all, of which the container's are kept.
fn table_of_ps(options: &[String], processes: &[ProcessStat]) -> Result<String, CommandError> {
    let output = Command::new("ps")
        .args(options)
        .output()
        .context("running ps")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(CommandError::usage(format!("Error running ps: {said}")).code(1));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let Some(column) = head.split_whitespace().position(|name| name == "PID") else {
        return Err(CommandError::usage("Couldn't find PID field in ps output")
            .code(1)
            .hint("add `pid` to the columns that `-o` asks for"));
    };
    let mut table = format!("{head}\n");
    for line in lines {
        let pid = line.split_whitespace().nth(column);
        let pid = pid.and_then(|pid| pid.parse::<i32>().ok());
        if processes.iter().any(|process| Some(process.pid) == pid) {
            table.push_str(line);
            table.push('\n');
        }
    }
    Ok(table)
}
