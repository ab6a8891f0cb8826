//! Lists longer than a page: asked for page by page, until there are as many rows as wanted or no more.
//!
//! Not here: what is listed (`ls.rs`, `chat.rs`).

use super::failure::Failure;

/// Most rows of a page.
const PAGE: usize = 500;

/// At most `limit` rows, and whether there are more. `page` asks for one page: of how many rows, from which token on (an
/// empty one at first); it answers the rows and the next token.
pub async fn rows<T>(
    limit: u32,
    mut page: impl AsyncFnMut(i32, String) -> Result<(Vec<T>, String), Failure>,
) -> Result<(Vec<T>, bool), Failure> {
    let limit = limit as usize;
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let size = (limit - found.len()).min(PAGE);
        let (rows, next) = page(i32::try_from(size).expect("a page is 500 rows at most"), token).await?;
        found.extend(rows);
        if next.is_empty() || found.len() >= limit {
            return Ok((found, !next.is_empty()));
        }
        token = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pages asked for, and what came of them, of a list of so many rows whose pages hold 400 at most.
    async fn asked(limit: u32, of: usize) -> (Vec<i32>, usize, bool) {
        let mut sizes = Vec::new();
        let mut at = 0;
        let (rows, more) = rows(limit, async |size, token| {
            assert_eq!(token, if at == 0 { String::new() } else { at.to_string() });
            sizes.push(size);
            let from = at;
            at = of.min(at + usize::try_from(size).expect("positive").min(400));
            Ok(((from..at).collect(), if at < of { at.to_string() } else { String::new() }))
        })
        .await
        .expect("nothing fails");
        assert!(rows.iter().copied().eq(0..rows.len()), "in order, each once");
        (sizes, rows.len(), more)
    }

    #[tokio::test]
    async fn as_many_pages_are_asked_for_as_it_takes_and_short_ones_do_not_end_the_list() {
        assert_eq!(asked(50, 10).await, (vec![50], 10, false));
        assert_eq!(asked(50, 50).await, (vec![50], 50, false));
        assert_eq!(asked(50, 51).await, (vec![50], 50, true));
        assert_eq!(asked(1_000, 900).await, (vec![500, 500, 200], 900, false));
        assert_eq!(asked(u32::MAX, 900).await, (vec![500, 500, 500], 900, false));
        assert_eq!(asked(600, 900).await, (vec![500, 200], 600, true));
    }
}
