//! What an action costs, told to people and to scripts.

use icefield_client::{
    price::{Cost, CostItem, NoSuchTier, PriceTable, Prices, Quantity, Usd},
    retrieval::Quote,
    target::Billing,
};
use icefield_protocol::Tier;
use serde::Serialize;

use crate::{
    failure::Failure,
    output::{count, size},
    session::{Opened, Session},
};

/// Returns the prices that apply to a target; none where nobody charges.
///
/// # Errors
///
/// When the user's file with prices cannot be used.
pub(crate) fn prices(opened: &Opened, session: &Session) -> anyhow::Result<Option<Prices>> {
    match opened.target.billing() {
        Billing::Free => Ok(None),
        Billing::Aws { region, class } => Ok(Some(table(session)?.prices(&region, class))),
    }
}

fn table(session: &Session) -> anyhow::Result<PriceTable> {
    let built_in = PriceTable::built_in();
    let Some(path) = &session.config.prices else { return Ok(built_in) };
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("cannot read the prices {}", path.display())).because(error)
    })?;
    let table = built_in.replaced_by(&text, &path.display().to_string()).map_err(|error| {
        Failure::usage(format!("cannot use the prices {}", path.display())).because(error)
    })?;
    Ok(table)
}

/// What a retrieval costs, and would cost if it were not hurried.
#[derive(Debug)]
pub(crate) struct RetrievalCost {
    pub(crate) cost: Cost,
    pub(crate) bulk: Option<Usd>,
}

/// Returns what it costs to retrieve what has still to be asked for and read; `requests` tells in how many requests bytes
/// are read.
///
/// # Errors
///
/// When the class of the archives has no such tier.
pub(crate) fn of_retrieval(
    prices: &Prices,
    tier: Tier,
    restore_days: u16,
    quote: &Quote,
    requests: &dyn Fn(u64) -> u64,
) -> anyhow::Result<RetrievalCost> {
    let at = |tier| -> Result<Cost, NoSuchTier> {
        let mut sum = prices.retrieving(tier, restore_days.into())?;
        quote.jobs.iter().for_each(|bytes| sum.add_job(*bytes));
        quote.reads.iter().for_each(|bytes| sum.add_read(*bytes, requests(*bytes)));
        Ok(sum.cost())
    };
    let mut cost = at(tier).map_err(|error| {
        Failure::usage(error.to_string()).hint("choose another one: --tier standard, --tier bulk")
    })?;
    if quote.unknown > 0 {
        cost.notes.push(format!(
            "the size of {} is not known and not counted: icefield inventory refresh finds out",
            count(quote.unknown, "file")
        ));
    }
    Ok(RetrievalCost { cost, bulk: at(Tier::Bulk).ok().map(|cost| cost.once()) })
}

/// Says that an action costs nothing; not with `--quiet`.
pub(crate) fn say_free(opened: &Opened, session: &Session) {
    let place = opened.target.describe();
    session.progress.note(match opened.store() {
        Some(_) => format!("costs nothing: {place}"),
        None => format!("{place} charges nothing that icefield knows of"),
    });
}

/// Says item by item what an action costs; not with `--quiet`.
pub(crate) fn say(cost: &Cost, session: &Session) {
    for line in lines(cost) {
        session.progress.note(line);
    }
}

/// Says what an action of a dry run would cost, whoever charges for it.
pub(crate) fn say_would(cost: Option<&Cost>, opened: &Opened, session: &Session) {
    match cost {
        Some(cost) => say(cost, session),
        None => say_free(opened, session),
    }
}

fn lines(cost: &Cost) -> Vec<String> {
    let mut rows: Vec<[String; 3]> = cost.items.iter().map(row).collect();
    let total = |name: &str, amount: Usd| [name.to_owned(), String::new(), amount.to_string()];
    let (once, per_month) = (cost.once(), cost.per_month());
    if once > Usd::ZERO || per_month == Usd::ZERO {
        rows.push(total("in all, once", once));
    }
    if per_month > Usd::ZERO {
        rows.push(total("in all, every month", per_month));
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let [what, how_much, amount] = [0, 1, 2].map(width);
    let line = |[a, b, c]: &[String; 3]| format!("  {a:what$}  {b:how_much$}  {c:>amount$}");
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.push(format!("prices of {} for the region {}", cost.prices, cost.region));
    lines.extend(cost.notes.iter().map(|note| format!("note: {note}")));
    lines
}

fn row(item: &CostItem) -> [String; 3] {
    let price = format!("{:#}", item.price.usd);
    let how_much = match item.quantity {
        Quantity::Requests(count) => format!("{count} at {price} a thousand"),
        Quantity::Bytes(bytes) => format!("{} at {price} a GiB", size(bytes)),
        Quantity::ByteDays(_) => {
            let (number, of) = item.quantity.ratio();
            format!("{} GiB-months at {price}", decimal(number, of))
        }
        Quantity::Units(count) => format!("{count} at {price} a unit"),
    };
    [item.charge.describe().to_owned(), how_much, item.amount.to_string()]
}

/// Writes a ratio with a few digits, rounded up.
fn decimal(number: u128, of: u128) -> String {
    let digits: u32 = if number >= of { 3 } else { 6 };
    let scale = 10_u128.pow(digits);
    let scaled = number.saturating_mul(scale).div_ceil(of);
    let part = format!("{:0width$}", scaled % scale, width = digits as usize);
    let text = format!("{}.{part}", scaled / scale);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What something costs, as a field of a record.
#[derive(Debug, Serialize)]
pub(crate) struct CostRecord {
    currency: &'static str,
    once: f64,
    per_month: f64,
    region: String,
    prices: String,
    items: Vec<ItemRecord>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ItemRecord {
    what: &'static str,
    quantity: f64,
    unit: &'static str,
    unit_price: f64,
    amount: f64,
    monthly: bool,
}

impl CostRecord {
    pub(crate) fn of(cost: &Cost) -> Self {
        let item = |item: &CostItem| {
            let (number, of) = item.quantity.ratio();
            ItemRecord {
                what: item.charge.as_str(),
                quantity: quotient(number, of),
                unit: item.quantity.unit(),
                unit_price: quotient(
                    item.price.usd.nanos().into(),
                    NANOS * item.quantity.priced_by(),
                ),
                amount: dollars(item.amount),
                monthly: item.charge.is_monthly(),
            }
        };
        Self {
            currency: "USD",
            once: dollars(cost.once()),
            per_month: dollars(cost.per_month()),
            region: cost.region.to_string(),
            prices: cost.prices.clone(),
            items: cost.items.iter().map(item).collect(),
            notes: cost.notes.clone(),
        }
    }
}

const NANOS: u128 = 1_000_000_000;

/// The number that JSON has for an amount; sums are made before, exactly.
pub(crate) fn dollars(amount: Usd) -> f64 {
    quotient(amount.nanos().into(), NANOS)
}

#[expect(clippy::cast_precision_loss, reason = "a number of JSON is one of floating point")]
fn quotient(number: u128, of: u128) -> f64 {
    number as f64 / of as f64
}

#[cfg(test)]
mod tests {
    use icefield_client::{price::PriceTable, target::StorageClass};
    use icefield_protocol::{Region, Tier};

    use super::{CostRecord, decimal, lines};

    #[test]
    fn a_cost_is_told_item_by_item() {
        let region = Region::parse("us-east-1").unwrap();
        let prices = PriceTable::built_in().prices(&region, StorageClass::Vault);
        let mut sum = prices.retrieving(Tier::Standard, 1).unwrap();
        (0..1000).for_each(|_| sum.add_job(1 << 30));
        sum.add_read(1000 << 30, 1000);
        let cost = sum.cost();
        let told = lines(&cost);
        assert_eq!(
            told[..4],
            [
                "  retrieval requests        1000 at $0.05 a thousand    $0.05",
                "  retrieval                 1000GiB at $0.01 a GiB     $10.00",
                "  transfer to the internet  1000GiB at $0.09 a GiB     $90.00",
                "  in all, once                                        $100.05",
            ]
        );
        assert!(told[4].starts_with("prices of 20") && told[4].ends_with("us-east-1"), "{told:?}");
        assert_eq!(told.len(), 6, "and that nothing is counted as free");

        let record = serde_json::to_value(CostRecord::of(&cost)).unwrap();
        assert_eq!(record["once"], 100.05);
        assert_eq!(record["per_month"], 0.0);
        assert_eq!(record["items"][0]["what"], "retrievals");
        assert_eq!(record["items"][0]["unit_price"], 0.00005);
        assert_eq!(record["items"][1]["quantity"], 1000.0);
        assert_eq!(record["items"][1]["unit"], "GiB");
    }

    #[test]
    fn what_is_stored_is_told_by_the_month() {
        let region = Region::parse("eu-central-1").unwrap();
        let prices = PriceTable::built_in().prices(&region, StorageClass::DeepArchive);
        let mut sum = prices.storing();
        (0..100).for_each(|_| sum.add(10 << 30));
        let told = lines(&sum.cost());
        assert_eq!(
            told[..4],
            [
                "  storage                                           1000 GiB-months at $0.0018        $1.80",
                "  storage of 32 KiB more for each archive           0.003052 GiB-months at $0.0018  $0.0001",
                "  storage of 8 KiB for each archive in S3 Standard  0.000763 GiB-months at $0.0245  $0.0001",
                "  in all, every month                                                                 $1.81",
            ]
        );
    }

    #[test]
    fn ratios_have_a_few_digits_and_are_never_too_low() {
        assert_eq!(decimal(3, 2), "1.5");
        assert_eq!(decimal(1, 3), "0.333334");
        assert_eq!(decimal(10_001, 3), "3333.667");
        assert_eq!(decimal(2000, 2), "1000");
    }
}
