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
 * Merging does not touch rows: it tells which runs of them, in memory, come
 * one after the other, and who takes the rows may have threads do so.
 *
 * The process that reads the files keeps as many rows of its own as there is memory
 * for: they come first among its own.
 *
 * Files are written and read in large pieces, by the server's calls for plain
 * files; those for buffered ones pass everything on a page at a time, at twice
 * the cost.
 *
 * IDENTIFICATION
 *	  src/tree/ct_gather.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <fcntl.h>

#include "storage/fd.h"
#include "utils/wait_event.h"

#include "ct_gather.h"
#include "ct_tree.h"

/*
 * Bytes of a file in memory, at least one record: in who writes and, at most,
 * in who reads.
 */
#define WRITE_BYTES	(16 * BLCKSZ)
#define READ_BYTES	(256 * BLCKSZ)

/* a file, and where in it comes what is written or read next */
typedef struct Position
{
	File		file;
	off_t		offset;
} Position;

struct CtGatherWriter
{
	FileSet    *files;
	CtGatherKind kind;
	int			process;
	size_t		keep;			/* bytes for the first rows */
	CtGatherKept kept;
	size_t		most_kept;		/* rows */
	Position	at;
	char	   *records;		/* not yet written; NULL before there are such */
	size_t		record_bytes;
	size_t		room;			/* records in memory */
	uint64		n;				/* rows that were not kept */
};

/* the rows of one process that have not been merged yet */
typedef struct Stream
{
	Position	from;
	uint64		waiting;		/* rows still to be read from the file */
	char	   *memory;			/* for these; NULL before the first of them */
	const char *records;
	size_t		n;				/* of them in memory */
	size_t		at;				/* the first of them that is not merged */
} Stream;

struct CtGatherReader
{
	size_t		vector_bytes;
	size_t		record_bytes;
	size_t		room;			/* records of a stream in memory */
	int			nstreams;
	Stream	   *streams;
	CtGatherRun *runs;
	int			nruns;
	int			runs_size;
};

static void
file_name(char *name, CtGatherKind kind, int process)
{
	snprintf(name, MAXPGPATH, "%s.%d",
			 kind == CT_GATHER_ROWS ? "rows" : "nulls", process);
}

/*
 * Prepares the file of one process, which is made when a row comes that does not
 * fit into so many bytes of memory; they are touched only as rows come.
 */
CtGatherWriter *
ct_gather_create(FileSet *files, CtGatherKind kind, int process, size_t keep)
{
	CtGatherWriter *writer = palloc0(sizeof(CtGatherWriter));

	writer->files = files;
	writer->kind = kind;
	writer->process = process;
	writer->keep = keep;
	return writer;
}

static void
start_file(CtGatherWriter *writer)
{
	char		name[MAXPGPATH];

	file_name(name, writer->kind, writer->process);
	writer->at.file = FileSetCreate(writer->files, name);
	writer->room = Max(WRITE_BYTES / writer->record_bytes, 1);
	writer->records = palloc0(writer->room * writer->record_bytes);
}

/* Writes n records, those in memory. */
static void
write_records(CtGatherWriter *writer, size_t n)
{
	const char *from = writer->records;
	size_t		left = n * writer->record_bytes;

	while (left > 0)
	{
		int			bytes = FileWrite(writer->at.file, (char *) from, left,
									  writer->at.offset,
									  WAIT_EVENT_BUFFILE_WRITE);

		if (bytes <= 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not write to temporary file of an index build: %m")));
		writer->at.offset += bytes;
		from += bytes;
		left -= bytes;
	}
}

/* Makes ready for rows with vectors of this size. */
static void
start_records(CtGatherWriter *writer, size_t vector_bytes)
{
	writer->record_bytes = ct_gather_record_bytes(vector_bytes);
	writer->most_kept = writer->keep / writer->record_bytes;
	if (writer->most_kept == 0)
		return;
	writer->kept.records = MemoryContextAllocHuge(CurrentMemoryContext,
												  writer->keep);
	ct_prefer_large_pages(writer->kept.records, writer->keep);
}

/* Adds a row.  All vectors have the same size; those of NULLs have none. */
void
ct_gather_add(CtGatherWriter *writer, const void *vector, size_t vector_bytes,
			  const ItemPointerData *tid)
{
	bool		keep;
	char	   *record;

	if (writer->record_bytes == 0)
		start_records(writer, vector_bytes);
	Assert(writer->record_bytes == ct_gather_record_bytes(vector_bytes));
	keep = writer->kept.n < writer->most_kept;
	if (!keep && writer->records == NULL)
		start_file(writer);
	record = keep ?
		writer->kept.records + writer->kept.n * writer->record_bytes :
		writer->records + writer->n % writer->room * writer->record_bytes;
	if (vector_bytes > 0)
		memcpy(record, vector, vector_bytes);
	memcpy(record + vector_bytes, tid, sizeof(ItemPointerData));
	if (keep)
		writer->kept.n++;
	else if (++writer->n % writer->room == 0)
		write_records(writer, writer->room);
}

/*
 * Makes the rows readable for another process, but for those kept, which the caller
 * gets, and frees the writer.  Returns how many they are in all, which the reader
 * has to be told.
 */
uint64
ct_gather_export(CtGatherWriter *writer, CtGatherKept *kept)
{
	uint64		n = writer->n + writer->kept.n;

	if (writer->records)
	{
		write_records(writer, writer->n % writer->room);
		FileClose(writer->at.file);
		pfree(writer->records);
	}
	*kept = writer->kept;
	pfree(writer);
	return n;
}

/* Reads rows of a stream of which none is in memory, if there are more. */
static void
fill_stream(CtGatherReader *reader, Stream *stream)
{
	size_t		n = Min(reader->room, stream->waiting);
	size_t		left = n * reader->record_bytes;
	char	   *to;

	if (n > 0 && stream->memory == NULL)
		stream->memory = palloc(left);
	to = stream->memory;
	stream->records = stream->memory;
	while (left > 0)
	{
		int			bytes = FileRead(stream->from.file, to, left,
									 stream->from.offset,
									 WAIT_EVENT_BUFFILE_READ);

		if (bytes <= 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read from temporary file of an index build")));
		stream->from.offset += bytes;
		to += bytes;
		left -= bytes;
	}
	stream->at = 0;
	stream->n = n;
	stream->waiting -= n;
}

/* The block of a row in memory. */
static BlockNumber
block_of(const CtGatherReader *reader, const Stream *stream, size_t row)
{
	const char *record = stream->records + row * reader->record_bytes;

	return ItemPointerGetBlockNumberNoCheck((ItemPointer)
											(record + reader->vector_bytes));
}

/* Opens the file that a process has written, whose rows are not all kept. */
static void
open_file(FileSet *files, CtGatherKind kind, int process, Stream *stream)
{
	char		name[MAXPGPATH];

	file_name(name, kind, process);
	stream->from.file = FileSetOpen(files, name, O_RDONLY);
	if (stream->from.file <= 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open temporary file \"%s\" of an index build: %m",
						name)));
}

/*
 * Opens the files of all processes, of which rows[] tells the length, to be read
 * with so much memory.  kept are the first rows of the first process.
 */
CtGatherReader *
ct_gather_open(FileSet *files, CtGatherKind kind, int nprocesses,
			   const uint64 *rows, const CtGatherKept *kept,
			   size_t vector_bytes, size_t memory)
{
	CtGatherReader *reader = palloc0(sizeof(CtGatherReader));
	size_t		bytes = Min(memory / nprocesses, READ_BYTES);

	reader->vector_bytes = vector_bytes;
	reader->record_bytes = ct_gather_record_bytes(vector_bytes);
	reader->room = Max(bytes / reader->record_bytes, 1);
	reader->streams = palloc0(sizeof(Stream) * nprocesses);
	for (int p = 0; p < nprocesses; p++)
	{
		Stream	   *stream = &reader->streams[reader->nstreams];

		if (rows[p] == 0)
			continue;
		stream->waiting = rows[p];
		if (p == 0)
		{
			stream->records = kept->records;
			stream->n = kept->n;
			stream->waiting -= kept->n;
		}
		if (stream->waiting > 0)
			open_file(files, kind, p, stream);
		reader->nstreams++;
	}
	return reader;
}

/*
 * The stream that goes on with the least block, or NULL if none goes on.
 * *limit: the least block of the others.  All streams have rows in memory
 * as long as they have any.
 */
static Stream *
choose_stream(const CtGatherReader *reader, BlockNumber *limit)
{
	Stream	   *least = NULL;
	BlockNumber least_block = InvalidBlockNumber;

	*limit = InvalidBlockNumber;
	for (int s = 0; s < reader->nstreams; s++)
	{
		Stream	   *stream = &reader->streams[s];
		BlockNumber block;

		if (stream->at == stream->n)
			continue;
		block = block_of(reader, stream, stream->at);
		if (least == NULL || block < least_block)
		{
			*limit = least_block;
			least = stream;
			least_block = block;
		}
		else
			*limit = Min(*limit, block);
	}
	return least;
}

/* The first row in memory, after the one to be merged next, from block on. */
static size_t
find_block(const CtGatherReader *reader, const Stream *stream,
		   BlockNumber block)
{
	size_t		low = stream->at + 1;
	size_t		high = stream->n;

	while (low < high)
	{
		size_t		middle = low + (high - low) / 2;

		if (block_of(reader, stream, middle) < block)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
add_run(CtGatherReader *reader, const char *records, size_t n)
{
	CtGatherRun *run;

	if (reader->nruns == reader->runs_size)
	{
		reader->runs_size = Max(2 * reader->runs_size, 16);
		reader->runs = reader->runs ?
			repalloc_huge(reader->runs,
						  sizeof(CtGatherRun) * reader->runs_size) :
			palloc(sizeof(CtGatherRun) * reader->runs_size);
	}
	run = &reader->runs[reader->nruns];
	run->records = records;
	run->first = reader->nruns > 0 ? run[-1].first + run[-1].n : 0;
	run->n = n;
	reader->nruns++;
}

/*
 * The next rows in the order of the table.  Returns how many runs they are, 0
 * when there are no more; the runs stay until the next call.  It ends where a
 * file has to be read from.
 */
int
ct_gather_next(CtGatherReader *reader, const CtGatherRun **runs)
{
	Stream	   *stream;
	BlockNumber limit;

	CHECK_FOR_INTERRUPTS();
	for (int s = 0; s < reader->nstreams; s++)
		if (reader->streams[s].at == reader->streams[s].n)
			fill_stream(reader, &reader->streams[s]);
	reader->nruns = 0;
	while ((stream = choose_stream(reader, &limit)) != NULL)
	{
		size_t		end = find_block(reader, stream, limit);

		add_run(reader, stream->records + stream->at * reader->record_bytes,
				end - stream->at);
		stream->at = end;
		if (end == stream->n && stream->waiting > 0)
			break;
	}
	*runs = reader->runs;
	return reader->nruns;
}

void
ct_gather_close(CtGatherReader *reader)
{
	for (int s = 0; s < reader->nstreams; s++)
	{
		Stream	   *stream = &reader->streams[s];

		if (stream->from.file > 0)
			FileClose(stream->from.file);
		if (stream->memory)
			pfree(stream->memory);
	}
	if (reader->runs)
		pfree(reader->runs);
	pfree(reader->streams);
	pfree(reader);
}
