/*-------------------------------------------------------------------------
 *
 * ct_knn_slab.c
 *	  Leaves of a residual index, copied for a bulk search.
 *
 * Of a leaf everything is kept but the records of its rows: 1/25 of the whole
 * with 512 inducing points.  Landmarks, which are pivots of many leaves, are kept
 * once.  Only the main thread works here, but for copies of records.
 *
 * IDENTIFICATION
 *	  src/tree/ct_knn_slab.c
 *
 *-------------------------------------------------------------------------
 */
#include "ct_compat.h"

#include <math.h>

#include "ct_knn.h"
#include "ct_knn_slab.h"
#include "ct_knn_tree.h"

/* words with a bit for each of n rows */
#define SEEN_WORDS(n)		(((n) + CT_BLOCK_WIDE - 1) / CT_BLOCK_WIDE)

/* most pages that memory is allocated for at a time */
#define MOST_IMAGES			1024

/* -------- records -------- */

CtRecords
ct_records_form(const CtIndex *index)
{
	size_t		before = index->meta.dims + 1;
	CtRecords	form;

	form.offset = TYPEALIGN(CT_PACK, before) - before;
	form.stride = TYPEALIGN(CT_PACK, form.offset + index->point_size);
	return form;
}

/*
 * Copies the records in the batch by all threads; those that are not where they
 * should be by the main one, which finds out what is wrong with them.
 */
static void
copy_batch(const CtKnn *knn, CtVectorBatch *batch, const CtLocator *from,
		   double *const *records)
{
	int			n = ct_vector_batch_size(batch);
	int			broken = 0;

	CHECK_FOR_INTERRUPTS();
#pragma omp parallel for num_threads(knn->nthreads) schedule(static) reduction(+:broken)
	for (int i = 0; i < n; i++)
		broken += !ct_vector_batch_copy(batch, i, records[i]);
	ct_vector_batch_release(batch);
	if (broken > 0)
		ct_vector_read_records(knn->index, n, from, records);
}

/*
 * Reads n records, of which from says where they are: of rows that the snapshot
 * sees, or of landmarks, which stay as long as there is such a row.  What is gone
 * becomes zeroes.
 */
void
ct_records_read(const CtKnn *knn, size_t n, const CtLocator *from,
				double *const *records)
{
	CtVectorBatch *batch = ct_vector_batch_create(knn->index);
	size_t		first = 0;

	while (first < n)
	{
		size_t		next = first;

		while (next < n && ct_vector_batch_add(batch, from[next]))
			next++;
		copy_batch(knn, batch, from + first, records + first);
		first = next;
	}
	ct_vector_batch_free(batch);
}

/* -------- leaves -------- */

size_t
ct_slab_row_bytes(void)
{
	return sizeof(CtLocator) + sizeof(uint64) + sizeof(double *);
}

size_t
ct_slab_landmark_bytes(const CtRecords *form)
{
	return ct_record_bytes(form) + 2 * sizeof(CtLocatorEntry) +
		sizeof(CtLocator) + sizeof(double *);
}

void
ct_slab_create(CtSlab *slab, CtIndex *index, MemoryContext context)
{
	slab->context = context;
	slab->index = index;
	ct_slab_clear(slab);
}

/* Begins with an empty slab. */
void
ct_slab_clear(CtSlab *slab)
{
	MemoryContext context = slab->context;
	CtIndex    *index = slab->index;

	MemoryContextReset(context);
	memset(slab, 0, sizeof(CtSlab));
	slab->context = context;
	slab->index = index;
	slab->form = ct_records_form(index);
	slab->leaves_size = 64;
	slab->leaves = ct_allocate(context, slab->leaves_size,
							   sizeof(CtBlockLeaf));
	slab->rows_size = slab->landmarks_size = 1024;
	slab->row_locators = ct_allocate(context, slab->rows_size,
									 sizeof(CtLocator));
	slab->keys = ct_allocate(context, slab->rows_size, sizeof(uint64));
	slab->locators = ct_allocate(context, slab->landmarks_size,
								 sizeof(CtLocator));
	slab->numbers = locators_create(context, 1024, NULL);
}

/* The number of a landmark, a new one if need be. */
static uint32
landmark_number(CtSlab *slab, CtLocator locator)
{
	bool		found;
	CtLocatorEntry *landmark = locators_insert(slab->numbers, locator, &found);

	if (found)
		return landmark->number;
	if (slab->nlandmarks == slab->landmarks_size)
	{
		slab->landmarks_size *= 2;
		slab->locators = repalloc_huge(slab->locators, sizeof(CtLocator) *
									   slab->landmarks_size);
	}
	slab->locators[slab->nlandmarks] = locator;
	return landmark->number = slab->nlandmarks++;
}

/* The basis of a leaf, whose page is a copy of ours. */
static void
keep_basis(CtSlab *slab, CtBlockLeaf *leaf, const CtNode *node)
{
	uint32	   *pivots;

	ct_node_projection(node, &leaf->basis);
	leaf->most_rest = node->basis->most_rest;
	leaf->knots = node->knots;
	pivots = ct_allocate(slab->context, leaf->basis.n, sizeof(uint32));
	for (int i = 0; i < leaf->basis.n; i++)
		pivots[i] = landmark_number(slab, node->basis->pivots[i]);
	leaf->pivots = pivots;
	ct_node_row_shares(node, &leaf->shares);
}

static void
keep_rows(CtSlab *slab, CtBlockLeaf *leaf, const CtNode *node,
		  const ItemPointerData *seen)
{
	int			n = leaf->n;
	uint64	   *bits = ct_allocate(slab->context, SEEN_WORDS(n), sizeof(uint64));

	memset(bits, 0, SEEN_WORDS(n) * sizeof(uint64));
	leaf->seen = bits;
	while (slab->nrows + n > slab->rows_size)
	{
		slab->rows_size *= 2;
		slab->keys = repalloc_huge(slab->keys,
								   sizeof(uint64) * slab->rows_size);
		slab->row_locators = repalloc_huge(slab->row_locators,
										   sizeof(CtLocator) * slab->rows_size);
	}
	for (int i = 0; i < n; i++)
	{
		bool		visible = ItemPointerIsValid(&seen[i]);

		slab->keys[slab->nrows + i] = visible ?
			ct_knn_key(&node->tids[i], &seen[i]) : CT_NO_KEY;
		bits[i / CT_BLOCK_WIDE] |= (uint64) visible << i % CT_BLOCK_WIDE;
		slab->row_locators[slab->nrows + i] = node->locators[i];
	}
	slab->nrows += n;
}

/*
 * Memory for a page.  It comes in pieces for as many pages as there are, so that
 * those of a large slab are of large pages, up to a limit.
 */
static char *
allocate_image(CtSlab *slab)
{
	if (slab->images_left == 0)
	{
		slab->images_left = Min(Max(slab->nleaves, 1), MOST_IMAGES);
		slab->images = ct_allocate_lines(slab->context,
										 slab->images_left * BLCKSZ);
	}
	return slab->images + --slab->images_left * BLCKSZ;
}

/* Adds a leaf, of whose rows seen says which version is visible. */
void
ct_slab_add(CtSlab *slab, const CtNode *node, const ItemPointerData *seen)
{
	char	   *image = allocate_image(slab);
	size_t		landmarks = slab->nlandmarks;
	CtBlockLeaf *leaf;
	CtNode		copy;

	if (slab->nleaves == slab->leaves_size)
	{
		slab->leaves_size *= 2;
		slab->leaves = repalloc_huge(slab->leaves, sizeof(CtBlockLeaf) *
									 slab->leaves_size);
	}
	memcpy(image, (char *) node->header - CT_NODE_OFFSET, BLCKSZ);
	ct_node_view(slab->index, (Page) image, &copy);
	leaf = &slab->leaves[slab->nleaves++];
	leaf->n = copy.header->nentries;
	leaf->first = slab->nrows;
	keep_basis(slab, leaf, &copy);
	keep_rows(slab, leaf, &copy, seen);
	slab->bytes += BLCKSZ + sizeof(CtBlockLeaf) +
		CT_BASIS_SIZE * sizeof(uint32) + SEEN_WORDS(leaf->n) * sizeof(uint64) +
		sizeof(double) * slab->index->meta.dims + leaf->n * ct_slab_row_bytes() +
		(slab->nlandmarks - landmarks) * ct_slab_landmark_bytes(&slab->form);
}

/* -------- when all leaves are there -------- */

static int
compare_locators(const void *a, const void *b, void *arg)
{
	const CtLocator *locators = arg;
	const CtLocator *left = &locators[*(const uint32 *) a];
	const CtLocator *right = &locators[*(const uint32 *) b];

	if (left->block != right->block)
		return left->block < right->block ? -1 : 1;
	return (int) left->slot - (int) right->slot;
}

/*
 * Reads the landmarks, in the order of pages; they stand by number, which is the
 * order in which they are multiplied.  Returns the least variance.
 */
static double
read_landmarks(CtSlab *slab, const CtKnn *knn)
{
	size_t		n = slab->nlandmarks;
	double	   *records = ct_allocate_records(&slab->form, slab->context, n);
	uint32	   *order = ct_allocate(slab->context, n, sizeof(uint32));
	CtLocator  *locators = ct_allocate(slab->context, n, sizeof(CtLocator));
	double	  **places = ct_allocate(slab->context, n, sizeof(double *));
	double		least = slab->index->meta.min_variance;

	slab->landmarks = ct_allocate(slab->context, n, sizeof(double *));
	for (size_t i = 0; i < n; i++)
		order[i] = i;
	qsort_arg(order, n, sizeof(uint32), compare_locators, slab->locators);
	for (size_t i = 0; i < n; i++)
	{
		locators[i] = slab->locators[order[i]];
		places[i] = ct_record_at(&slab->form, records, order[i]);
		slab->landmarks[i] = ct_record_at(&slab->form, records, i);
	}
	ct_records_read(knn, n, locators, places);
	for (size_t i = 0; i < n; i++)
		least = Min(least, slab->landmarks[i][slab->index->meta.dims]);
	pfree(order);
	pfree(locators);
	pfree(places);
	return least;
}

/* Where a leaf is, by its pivots, or by a row if it has none. */
static void
find_centre(CtSlab *slab, size_t number, double *row)
{
	const CtBlockLeaf *leaf = &slab->leaves[number];
	int			dims = slab->index->meta.dims;
	const double *scale = ct_model_lengthscale(slab->index->space.model);
	int			n = leaf->basis.n;

	if (n == 0)
		ct_vector_location(slab->index, slab->row_locators[leaf->first], row);
	for (int j = 0; j < dims; j++)
	{
		double		sum = n == 0 ? row[j] : 0.0;

		for (int i = 0; i < n; i++)
			sum += slab->landmarks[leaf->pivots[i]][j];
		slab->centres[j * slab->nleaves + number] = sum / scale[j] / Max(n, 1);
	}
}

static void
find_centres(CtSlab *slab)
{
	int			dims = slab->index->meta.dims;
	double	   *row = palloc(sizeof(double) * dims);

	slab->centres = ct_allocate(slab->context, slab->nleaves * dims,
								sizeof(double));
	for (size_t l = 0; l < slab->nleaves; l++)
	{
		CHECK_FOR_INTERRUPTS();
		find_centre(slab, l, row);
	}
	pfree(row);
}

static const double *
find_rates(const CtSlab *slab)
{
	int			dims = slab->index->meta.dims;
	double	   *rates = ct_allocate(slab->context, dims, sizeof(double));

	for (int j = 0; j < dims; j++)
		rates[j] = 1.0 / ct_model_lengthscale(slab->index->space.model)[j];
	return rates;
}

/* Reads what is still missing, and says what rows there are. */
void
ct_slab_complete(CtSlab *slab, const CtKnn *knn, CtBlockRows *rows)
{
	rows->space = &slab->index->space;
	rows->rates = find_rates(slab);
	rows->min_variance = read_landmarks(slab, knn);
	find_centres(slab);
	slab->records = ct_allocate(slab->context, slab->nrows, sizeof(double *));
	rows->nrows = slab->nrows;
	rows->nlandmarks = slab->nlandmarks;
	rows->landmarks = (const double *const *) slab->landmarks;
	rows->nleaves = slab->nleaves;
	rows->leaves = slab->leaves;
	rows->centres = slab->centres;
	rows->keys = slab->keys;
	rows->records = (const double *const *) slab->records;
}
