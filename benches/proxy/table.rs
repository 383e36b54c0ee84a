//! The figures and how they are shown.

use crate::proxies::Kind;

/// One figure of every column, once a round.
pub struct Row {
    title: String,
    unit: &'static str,
    figures: [Vec<f64>; Kind::ALL.len()],
}

impl Row {
    pub fn new(title: &str, unit: &'static str) -> Self {
        Self { title: title.to_owned(), unit, figures: Default::default() }
    }

    pub fn add(&mut self, kind: Kind, figure: f64) {
        self.figures[kind as usize].push(figure);
    }

    fn median(&self, kind: Kind) -> Option<f64> {
        let mut figures = self.figures[kind as usize].clone();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        match figures.len() {
            0 => None,
            n if n % 2 == 0 => Some(f64::midpoint(figures[middle - 1], figures[middle])),
            _ => Some(figures[middle]),
        }
    }

    fn ratio(&self, to: Kind) -> Option<f64> {
        self.median(to).filter(|figure| *figure > 0.0).and_then(|figure| Some(self.median(Kind::Ostler)? / figure))
    }
}

/// All rows.
#[derive(Default)]
pub struct Table(Vec<Row>);

impl Table {
    /// A row without any figure is left out.
    pub fn add(&mut self, row: Row) {
        if row.figures.iter().any(|figures| !figures.is_empty()) {
            self.0.push(row);
        }
    }

    pub fn print(&self) {
        let mut lines =
            vec![["".into(), "".into()].into_iter().chain(Kind::ALL.map(|k| k.name().to_owned())).collect()];
        let line: &mut Vec<String> = &mut lines[0];
        line.extend(["ostler / stunnel".into(), "ostler / copy".into()]);
        for row in &self.0 {
            let figures = Kind::ALL.map(|kind| shown(row.median(kind)));
            let ratios =
                [Kind::Stunnel, Kind::Copy].map(|kind| row.ratio(kind).map_or("-".into(), |r| format!("{r:.2}")));
            lines.push([row.title.clone(), row.unit.to_owned()].into_iter().chain(figures).chain(ratios).collect());
        }
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
        for (number, line) in lines.iter().enumerate() {
            let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
            if number == 0 {
                let rules = widths.iter().enumerate().map(|(column, width)| {
                    if column < 2 { "-".repeat(width + 2) } else { format!("{}:", "-".repeat(width + 1)) }
                });
                println!("|{}|", rules.collect::<Vec<_>>().join("|"));
            }
        }
    }
}

fn shown(figure: Option<f64>) -> String {
    match figure {
        None => "-".into(),
        Some(n) if n >= 100.0 => format!("{n:.0}"),
        Some(n) if n >= 10.0 => format!("{n:.1}"),
        Some(n) => format!("{n:.2}"),
    }
}
