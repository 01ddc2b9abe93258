/*-------------------------------------------------------------------------
 *
 * ct_gather.c
 *	  Rows of a build on their way from the processes that read the table to
 *	  the one that builds the tree.
 *
 * Each process writes the rows that it reads to temporary files of its own,
 * in a set that all of them share; when all have done so, one process reads
 * all files at once.  A parallel scan gives each process rising blocks of the
 * table, and every block to one process.  So merging the files by block
 * gives the rows in the order in which a single process would have read
 * them, whoever read which.
 *
 * A record is a vector and the row's TID.  Neither writing nor reading takes
 * more memory than a buffer a file.
 *
 * IDENTIFICATION
 *	  src/tree/ct_gather.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <fcntl.h>

#include "storage/buffile.h"

#include "ct_gather.h"

/* bytes of a file read at once, at least one record */
#define READ_BYTES	(4 * BLCKSZ)

struct CtGatherWriter
{
	FileSet    *files;
	CtGatherKind kind;
	int			process;
	BufFile    *file;			/* NULL before the first row */
	char	   *record;
	size_t		record_bytes;
	uint64		n;
};

/* the rows of one process that have not been merged yet */
typedef struct Stream
{
	BufFile    *file;
	uint64		waiting;		/* rows still to be read from the file */
	char	   *records;
	size_t		n;				/* of them in memory */
	size_t		at;				/* the first of them that is not merged */
	BlockNumber block;			/* its block; invalid at the end */
} Stream;

struct CtGatherReader
{
	size_t		vector_bytes;
	size_t		record_bytes;
	size_t		room;			/* records of a stream in memory */
	int			nstreams;
	Stream	   *streams;
	Stream	   *current;
	BlockNumber next_block;		/* least one of the other streams */
};

static size_t
record_bytes(size_t vector_bytes)
{
	return MAXALIGN(vector_bytes + sizeof(ItemPointerData));
}

static void
file_name(char *name, CtGatherKind kind, int process)
{
	snprintf(name, MAXPGPATH, "%s.%d",
			 kind == CT_GATHER_ROWS ? "rows" : "nulls", process);
}

/* Prepares the file of one process, which is made when a row comes. */
CtGatherWriter *
ct_gather_create(FileSet *files, CtGatherKind kind, int process)
{
	CtGatherWriter *writer = palloc0(sizeof(CtGatherWriter));

	writer->files = files;
	writer->kind = kind;
	writer->process = process;
	return writer;
}

static void
start_file(CtGatherWriter *writer, size_t vector_bytes)
{
	char		name[MAXPGPATH];

	file_name(name, writer->kind, writer->process);
	writer->file = BufFileCreateFileSet(writer->files, name);
	writer->record_bytes = record_bytes(vector_bytes);
	writer->record = palloc0(writer->record_bytes);
}

/* Adds a row.  All vectors have the same size; those of NULLs have none. */
void
ct_gather_add(CtGatherWriter *writer, const void *vector, size_t vector_bytes,
			  const ItemPointerData *tid)
{
	if (writer->file == NULL)
		start_file(writer, vector_bytes);
	Assert(writer->record_bytes == record_bytes(vector_bytes));
	if (vector_bytes > 0)
		memcpy(writer->record, vector, vector_bytes);
	memcpy(writer->record + vector_bytes, tid, sizeof(ItemPointerData));
	BufFileWrite(writer->file, writer->record, writer->record_bytes);
	writer->n++;
}

/*
 * Makes the rows readable for another process, and frees the writer.  Returns
 * how many they are, which the reader has to be told.
 */
uint64
ct_gather_export(CtGatherWriter *writer)
{
	uint64		n = writer->n;

	if (writer->file)
	{
		BufFileExportFileSet(writer->file);
		BufFileClose(writer->file);
		pfree(writer->record);
	}
	pfree(writer);
	return n;
}

/* Goes on to the next row of a stream, if there is one. */
static void
advance(CtGatherReader *reader, Stream *stream)
{
	const char *record;

	if (stream->at == stream->n)
	{
		size_t		n = Min(reader->room, stream->waiting);
		size_t		bytes = n * reader->record_bytes;

		CHECK_FOR_INTERRUPTS();
		stream->at = 0;
		stream->n = n;
		stream->waiting -= n;
		if (n == 0)
		{
			stream->block = InvalidBlockNumber;
			return;
		}
		if (BufFileRead(stream->file, stream->records, bytes) != bytes)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read from temporary file of an index build")));
	}
	record = stream->records + stream->at * reader->record_bytes;
	stream->block = ItemPointerGetBlockNumberNoCheck((ItemPointer)
													 (record + reader->vector_bytes));
}

/* Opens the files of all processes, of which rows[] tells the length. */
CtGatherReader *
ct_gather_open(FileSet *files, CtGatherKind kind, int nprocesses,
			   const uint64 *rows, size_t vector_bytes)
{
	CtGatherReader *reader = palloc0(sizeof(CtGatherReader));
	char		name[MAXPGPATH];

	reader->vector_bytes = vector_bytes;
	reader->record_bytes = record_bytes(vector_bytes);
	reader->room = Max(READ_BYTES / reader->record_bytes, 1);
	reader->streams = palloc0(sizeof(Stream) * nprocesses);
	for (int p = 0; p < nprocesses; p++)
	{
		Stream	   *stream = &reader->streams[reader->nstreams];

		if (rows[p] == 0)
			continue;
		file_name(name, kind, p);
		stream->file = BufFileOpenFileSet(files, name, O_RDONLY, false);
		stream->waiting = rows[p];
		stream->records = palloc(reader->room * reader->record_bytes);
		advance(reader, stream);
		reader->nstreams++;
	}
	return reader;
}

/* Turns to the stream with the least block. */
static void
choose_stream(CtGatherReader *reader)
{
	Stream	   *least = NULL;

	reader->next_block = InvalidBlockNumber;
	for (int s = 0; s < reader->nstreams; s++)
	{
		Stream	   *stream = &reader->streams[s];

		if (least == NULL || stream->block < least->block)
		{
			reader->next_block = least ? least->block : InvalidBlockNumber;
			least = stream;
		}
		else
			reader->next_block = Min(reader->next_block, stream->block);
	}
	reader->current = least;
}

/*
 * The next row in the order of the table: its vector, which stays until the
 * next call, and its TID.  NULL when there are no more.
 */
const char *
ct_gather_next(CtGatherReader *reader, ItemPointerData *tid)
{
	Stream	   *stream = reader->current;
	const char *record;

	if (stream)
	{
		stream->at++;
		advance(reader, stream);
	}
	if (stream == NULL || stream->block > reader->next_block ||
		stream->block == InvalidBlockNumber)
	{
		choose_stream(reader);
		stream = reader->current;
		if (stream == NULL || stream->block == InvalidBlockNumber)
			return NULL;
	}
	record = stream->records + stream->at * reader->record_bytes;
	memcpy(tid, record + reader->vector_bytes, sizeof(ItemPointerData));
	return record;
}

void
ct_gather_close(CtGatherReader *reader)
{
	for (int s = 0; s < reader->nstreams; s++)
	{
		BufFileClose(reader->streams[s].file);
		pfree(reader->streams[s].records);
	}
	pfree(reader->streams);
	pfree(reader);
}
