/*-------------------------------------------------------------------------
 *
 * ct_progress.c
 *	  covertree_knn_progress: how far bulk searches are.
 *
 * IDENTIFICATION
 *	  src/sql/ct_progress.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include "catalog/pg_authid.h"
#include "funcapi.h"
#include "pgstat.h"
#include "utils/acl.h"
#include "utils/backend_progress.h"
#include "utils/backend_status.h"

#include "ct_progress.h"

PG_FUNCTION_INFO_V1(covertree_knn_progress);

/* none of the server's commands */
#define COMMAND_KNN		((ProgressCommandType) 0x63746B)

#define PROGRESS_COLUMNS	7

/*
 * Shows this backend's search of an index; false if the backend shows something
 * else already, such as the COPY whose query the search is in.
 */
bool
ct_progress_start(Oid index)
{
	if (MyBEEntry == NULL ||
		MyBEEntry->st_progress_command != PROGRESS_COMMAND_INVALID)
		return false;
	pgstat_progress_start_command(COMMAND_KNN, index);
	return true;
}

void
ct_progress_end(void)
{
	pgstat_progress_end_command();
}

/* May the caller know what a backend does? */
static bool
is_visible(const PgBackendStatus *backend)
{
	return has_privs_of_role(GetUserId(), backend->st_userid) ||
		has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
}

Datum
covertree_knn_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	int			nbackends = pgstat_fetch_stat_numbackends();

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 1; i <= nbackends; i++)
	{
		const PgBackendStatus *backend = ct_backend_status(i);
		Datum		values[PROGRESS_COLUMNS];
		bool		nulls[PROGRESS_COLUMNS] = {false};
		int			column = 0;

		if (backend->st_progress_command != COMMAND_KNN ||
			backend->st_databaseid != MyDatabaseId)
			continue;
		values[column++] = Int32GetDatum(backend->st_procpid);
		values[column++] = ObjectIdGetDatum(backend->st_progress_command_target);
		for (int j = CT_PROGRESS_TOTAL; j <= CT_PROGRESS_THREADS; j++)
			values[column++] = Int64GetDatum(backend->st_progress_param[j]);
		nulls[2] = backend->st_progress_param[CT_PROGRESS_TOTAL] == 0;
		for (int j = 1; j < PROGRESS_COLUMNS && !is_visible(backend); j++)
			nulls[j] = true;
		tuplestore_putvalues(info->setResult, info->setDesc, values, nulls);
	}
	return (Datum) 0;
}
