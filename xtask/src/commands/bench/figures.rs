//! What is measured, and what it is held against.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Thousandths of a second.
    Milliseconds,
    /// 2^20 bytes.
    Mebibytes,
}

impl Unit {
    fn short(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Mebibytes => "MiB",
        }
    }
}

/// The part that a figure plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// kiln's, which is held against the target.
    Kiln,
    /// That of a rival doing the same work.
    Peer,
    /// What nobody can be better than: the work by hand.
    Floor,
    /// Beside the contest: kiln under other conditions, a tool that does less.
    Beside,
}

/// One tool's figure in one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The tool.
    pub tool: String,
    /// Its part.
    pub role: Role,
    /// The middle of all rounds, in the line's unit.
    pub median: f64,
    /// The smallest.
    pub low: f64,
    /// The largest.
    pub high: f64,
    /// Peak memory in KiB: the largest of the processes that the command waited for.
    pub peak_kib: Option<u64>,
}

impl Figure {
    /// The figure of several rounds.
    pub fn of(tool: &str, role: Role, mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Self {
            tool: tool.to_owned(),
            role,
            median: at(values.len() / 2),
            low: at(0),
            high: at(values.len().saturating_sub(1)),
            peak_kib: None,
        }
    }
}

/// What kiln has to reach: DESIGN.md, section 9.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// At most this share of the best peer's figure.
    OfPeer(f64),
    /// At most this multiple of the floor.
    OfFloor(f64),
    /// At most this, in the line's unit.
    AtMost(f64),
    /// None: the figure is there to be watched.
    Watched,
}

/// What the comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Reached.
    Ok,
    /// Not reached.
    Missed,
    /// There is nothing to compare with here.
    Open,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Ok => "OK",
            Self::Missed => "MISSED",
            Self::Open => "-",
        })
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// What was done.
    pub title: String,
    /// What the figures count.
    pub unit: Unit,
    /// Everybody's figures, kiln's first.
    pub figures: Vec<Figure>,
    /// What kiln's is held against.
    pub target: Target,
    /// What a reader has to know: who could not take part, and why.
    pub notes: Vec<String>,
}

impl Line {
    /// kiln's figure.
    pub fn kiln(&self) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.role == Role::Kiln)
    }

    /// What kiln is compared with: the floor where the target says so, the fastest peer otherwise.
    pub fn rival(&self) -> Option<&Figure> {
        let role = match self.target {
            Target::OfFloor(_) => Role::Floor,
            _ => Role::Peer,
        };
        let candidates = self.figures.iter().filter(|figure| figure.role == role);
        candidates.min_by(|a, b| a.median.total_cmp(&b.median))
    }

    /// kiln's figure as a share of its rival's.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.kiln()?.median / self.rival()?.median)
    }

    /// Whether the target is reached.
    pub fn verdict(&self) -> Verdict {
        let reached = match self.target {
            Target::OfPeer(share) | Target::OfFloor(share) => {
                self.ratio().map(|ratio| ratio <= share)
            }
            Target::AtMost(most) => self.kiln().map(|figure| figure.median <= most),
            Target::Watched => None,
        };
        match reached {
            Some(true) => Verdict::Ok,
            Some(false) => Verdict::Missed,
            None => Verdict::Open,
        }
    }

    /// The target for people.
    pub fn target(&self) -> String {
        match self.target {
            Target::OfPeer(share) => format!("{share:.3} of the best peer's"),
            Target::OfFloor(share) => format!("{share:.2} of the floor"),
            Target::AtMost(most) => format!("{most} {}", self.unit.short()),
            Target::Watched => String::new(),
        }
    }

    /// A value with its unit; three digits are as many as a median is good for.
    pub fn show(&self, value: f64) -> String {
        let unit = self.unit.short();
        if value < 100.0 {
            format!("{value:.1} {unit}")
        } else {
            format!("{value:.0} {unit}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(target: Target, figures: &[(Role, f64)]) -> Line {
        let figures = figures
            .iter()
            .map(|(role, value)| Figure::of("tool", *role, vec![*value]));
        Line {
            title: "work".to_owned(),
            unit: Unit::Milliseconds,
            figures: figures.collect(),
            target,
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_best_peer_or_the_floor_decides() {
        let all = [
            (Role::Kiln, 2.0),
            (Role::Peer, 9.0),
            (Role::Peer, 8.0),
            (Role::Beside, 0.1),
            (Role::Floor, 1.0),
        ];
        assert_eq!(line(Target::OfPeer(0.25), &all).verdict(), Verdict::Ok);
        assert_eq!(line(Target::OfPeer(0.24), &all).verdict(), Verdict::Missed);
        assert_eq!(line(Target::OfFloor(1.1), &all).verdict(), Verdict::Missed);
        assert_eq!(line(Target::OfFloor(1.1), &all).ratio(), Some(2.0));
        assert_eq!(line(Target::AtMost(2.0), &all).verdict(), Verdict::Ok);
        assert_eq!(line(Target::Watched, &all).verdict(), Verdict::Open);
        assert_eq!(
            line(Target::OfPeer(0.5), &all[..1]).verdict(),
            Verdict::Open
        );
    }

    #[test]
    fn a_figure_is_the_middle_of_its_rounds() {
        let figure = Figure::of("kiln", Role::Kiln, vec![3.0, 1.0, 2.0, 9.0, 8.0]);
        assert_eq!((figure.low, figure.median, figure.high), (1.0, 3.0, 9.0));
    }
}
