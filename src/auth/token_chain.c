/*
 * token_chain.c - one app's token chain in the memory of the fetcher: where it is kept, and what it
 * learns from exact.token and exact.app_state.
 *
 * What is stored decides, not what is remembered: so a new import, a changed host or a re-encrypted
 * pair counts at once.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "auth/secret.h"
#include "auth/token.h"
#include "auth/token_chain.h"
#include "auth/token_store.h"
#include "base/backoff.h"
#include "base/fault.h"
#include "worker/self.h"

static ExactTokenChain *chains = NULL;

ExactTokenChain *
exact_token_chain_first(void)
{
	return chains;
}

ExactTokenChain *
exact_token_chain_of(const char *app)
{
	ExactTokenChain *chain;

	for (chain = chains; chain != NULL; chain = chain->next)
		if (strcmp(chain->app, app) == 0)
			return chain;
	chain = MemoryContextAllocZero(TopMemoryContext, sizeof(ExactTokenChain));
	chain->app = MemoryContextStrdup(TopMemoryContext, app);
	chain->next = chains;
	chains = chain;
	return chain;
}

char *
exact_token_chain_consent_step(const ExactTokenChain *chain)
{
	return psprintf("SELECT exact.authorize_url('%s'); and open the address in a browser",
					chain->app);
}

bool
exact_token_chain_is_timed(const ExactTokenChain *chain)
{
	return chain->phase == EXACT_CHAIN_PAUSING || chain->phase == EXACT_CHAIN_STORING ||
		chain->owed.due;
}

void
exact_token_chain_answer(ExactTokenChain *chain, ExactTokenState state, const ExactFault *fault,
						 TimestampTz retry_at)
{
	exact_token_answer(&chain->waiters, state, chain->at_hand.access, chain->at_hand.id, fault,
					   retry_at);
}

/*
 * First look of this process at an app. A refresh that an earlier process sent, and did not live to
 * record the outcome of, was an attempt with an unclear outcome.
 */
static void
meet(ExactTokenChain *chain, const ExactTokenRow *row)
{
	chain->calls = exact_token_store_calls_today(chain->app);
	chain->day = (int) (GetCurrentTimestamp() / USECS_PER_DAY);
	chain->met = true;
	if (row->refreshing_since == 0 || row->refreshing_since < row->issued_at)
		return;
	chain->unclear = Max(row->attempts, 1);
	if (chain->unclear >= 2)
		chain->not_before =
			TimestampTzPlusMilliseconds(row->refreshing_since,
										exact_backoff_ms(chain->unclear - 1,
														 EXACT_CHAIN_UNCLEAR_FIRST_MS,
														 EXACT_CHAIN_UNCLEAR_LAST_MS));
	exact_log(LOG, "token app=%s event=\"outcome unknown\" attempt=%d"
			  " finding=\"the process that sent it ended\"", chain->app, chain->unclear);
}

void
exact_token_chain_look(ExactTokenChain *chain, ExactTokenRow *row)
{
	ExactTokenAtHand *at_hand = &chain->at_hand;

	exact_token_store_look(chain->app, row);
	if (row->issued_at != at_hand->issued_at)
	{
		/*
		 * another pair, not the same one encrypted again: nothing learned about the old one counts
		 */
		at_hand->rejected = at_hand->tried_early = at_hand->tried_again = false;
		at_hand->kept_until = 0;
		at_hand->issued_at = row->issued_at;
		chain->unclear = chain->down = 0;
		chain->not_before = 0;
	}
	if (!chain->met)
		meet(chain, row);
	if (row->id == at_hand->id && (row->id == 0 || strcmp(row->host, row->origin) == 0))
		return;
	exact_secret_drop(&at_hand->access);
	at_hand->id = 0;
	if (row->id != 0 && row->has_access)
		at_hand->access = exact_token_store_open(chain->app, row, "access");
	at_hand->id = row->id;
}
