/*-------------------------------------------------------------------------
 *
 * ct_kernel_boxes.h
 *	  Distances to boxes, one lane per box, for any width of vector.
 *
 * Included once by the file of an instruction set, after ct_kernel_features.h
 * and what that needs.
 *
 * IDENTIFICATION
 *	  src/kernel/ct_kernel_boxes.h
 *
 *-------------------------------------------------------------------------
 */

/* the limits in one dimension of the boxes from number i on */
CT_INLINE CT_TARGET Vector
box_limits(const float *column, size_t i, size_t n)
{
	if (n - i >= VECTOR_LANES)
		return vector_load(column + i, sizeof(float));
	return vector_load_some(column + i, mask_of(n - i), sizeof(float));
}

/* squares of the boxes from number i on; dim is a constant in some calls */
CT_INLINE CT_TARGET Vector
box_vector(const double *q, const float *boxes, size_t stride, size_t n,
		   size_t dim, size_t i)
{
	Vector		sum = vector_zero();

	for (size_t j = 0; j < dim; j++)
	{
		Vector		x = vector_set(load_f64(q + j));
		Vector		below = vector_sub(box_limits(boxes + j * stride, i, n), x);
		Vector		above = vector_sub(x, box_limits(boxes + (dim + j) * stride, i, n));
		Vector		leg = vector_max(vector_max(below, above), vector_zero());

		sum = vector_add(sum, vector_mul(leg, leg));
	}
	return sum;
}

/* what is wanted of a sum of squares; root is a constant in all calls */
CT_INLINE CT_TARGET Vector
box_result(Vector sum, bool root)
{
	return root ? vector_sqrt(sum) : vector_min(sum, vector_set(CT_SUM_MAX));
}

CT_INLINE CT_TARGET void
box_range(const double *q, const float *boxes, size_t stride, size_t n,
		  size_t dim, bool root, double *result)
{
	size_t		i = 0;

	for (; n - i >= VECTOR_LANES; i += VECTOR_LANES)
		vector_store(result + i,
					 box_result(box_vector(q, boxes, stride, n, dim, i), root));
	if (i < n)
	{
		double		rest[VECTOR_LANES];

		vector_store(rest,
					 box_result(box_vector(q, boxes, stride, n, dim, i), root));
		memcpy(result + i, rest, (n - i) * sizeof(double));
	}
}

CT_INLINE CT_TARGET void
box_ranges(const double *q, const float *boxes, size_t stride, size_t n,
		   size_t dim, bool root, double *result)
{
	if (dim == 2)
		box_range(q, boxes, stride, n, 2, root, result);
	else if (dim == 3)
		box_range(q, boxes, stride, n, 3, root, result);
	else
		box_range(q, boxes, stride, n, dim, root, result);
}

static CT_TARGET void
box_distances(const double *q, const float *boxes, size_t stride, size_t n,
			  size_t dim, double *dist)
{
	box_ranges(q, boxes, stride, n, dim, true, dist);
}

static CT_TARGET void
box_squares(const double *q, const float *boxes, size_t stride, size_t n,
			size_t dim, double *squares)
{
	box_ranges(q, boxes, stride, n, dim, false, squares);
}
