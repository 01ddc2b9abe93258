/*-------------------------------------------------------------------------
 *
 * ct_exp.h
 *	  The exponential function, for any width of vector.
 *
 * Layer 0.  Included once by the file of an instruction set, after it has
 * defined
 *
 *		CT_INLINE, CT_TARGET	its attributes
 *		Vector					of doubles, or one double
 *		vector_set, vector_add, vector_sub, vector_mul
 *		vector_max				(a, b): a > b ? a : b, so that NaN as b stays
 *		vector_power			2^(k + 128), see below
 *
 * vector_exp(x) is e^x for x <= 0, down to zero where that underflows; NaN
 * gives NaN.  Every lane goes through the same operations, none of which
 * depends on the width, so that all instruction sets give the same bits.
 *
 * With u = 2^-53 and k the whole number nearest to x / ln 2,
 *
 *		e^x = 2^k e^(r + c)		where r + c = x - k ln 2, |r| < 0.34662
 *
 * ln 2 = LN2_HIGH + LN2_LOW, and LN2_HIGH has 21 zero bits at the end, so that
 * k LN2_HIGH and x - k LN2_HIGH are exact; c is what the rounding of r lost.
 * Then e^(r + c) = 1 + (r + (c + r^2 (1/2 + r Q(r)))), Q being the polynomial
 * through ten Chebyshev points.  Roundings, if the result is below 1, where a
 * unit in the last place is u and r <= 0: 0.5 u in the last addition, 0.25 u
 * in the one before, 0.03 u in the one before that; r^2 (1/2 + r Q) is at most
 * 0.054, of which r^2 takes 0.03 u, the bracket 0.05 u and the product 0.03 u.
 * Q itself adds 0.007 u.  Above 1 the unit is 2 u, and the share smaller.  So
 * the error is below 0.92 units in the last place, and below 0.96 where the
 * result is subnormal and rounded once more.
 *
 * IDENTIFICATION
 *	  include/ct_exp.h
 *
 *-------------------------------------------------------------------------
 */
#ifndef CT_EXP_H
#define CT_EXP_H

#define CT_EXP_LEAST	-746.0	/* e^x rounds to zero from here on */
#define INVERSE_LN2		0x1.71547652b82fep+0
#define LN2_HIGH		0x1.62e42fee00000p-1
#define LN2_LOW			0x1.a39ef35793c76p-33

/* coefficients of Q, from the constant one on */
#define CT_EXP_0		0x1.5555555555556p-3
#define CT_EXP_1		0x1.5555555555555p-5
#define CT_EXP_2		0x1.11111111109b3p-7
#define CT_EXP_3		0x1.6c16c16c167e1p-10
#define CT_EXP_4		0x1.a01a01a7c41d5p-13
#define CT_EXP_5		0x1.a01a01a47b054p-16
#define CT_EXP_6		0x1.71de0dae63bb3p-19
#define CT_EXP_7		0x1.27e4e1f48534fp-22
#define CT_EXP_8		0x1.af38a9b0ec855p-26
#define CT_EXP_9		0x1.1f66df7fca49fp-29

/* adding it leaves a whole number in the low bits of a double */
#define WHOLE_SHIFTER	0x1.8p+52

/* Q(r), in pairs that do not wait for each other */
CT_INLINE CT_TARGET Vector
vector_exp_polynomial(Vector r, Vector r2)
{
	Vector		r4 = vector_mul(r2, r2);
	Vector		sum;

#define PAIR(low, high) \
	vector_add(vector_set(low), vector_mul(vector_set(high), r))

	sum = vector_add(PAIR(CT_EXP_4, CT_EXP_5),
					 vector_mul(r2, PAIR(CT_EXP_6, CT_EXP_7)));
	sum = vector_add(sum, vector_mul(r4, PAIR(CT_EXP_8, CT_EXP_9)));
	return vector_add(vector_add(PAIR(CT_EXP_0, CT_EXP_1),
								 vector_mul(r2, PAIR(CT_EXP_2, CT_EXP_3))),
					  vector_mul(r4, sum));

#undef PAIR
}

CT_INLINE CT_TARGET Vector
vector_exp(Vector x)
{
	Vector		shifter = vector_set(WHOLE_SHIFTER);
	Vector		shifted,
				k,
				high,
				low,
				r,
				c,
				r2,
				bracket,
				result;

	x = vector_max(vector_set(CT_EXP_LEAST), x);
	shifted = vector_add(vector_mul(x, vector_set(INVERSE_LN2)), shifter);
	k = vector_sub(shifted, shifter);
	high = vector_sub(x, vector_mul(k, vector_set(LN2_HIGH)));
	low = vector_mul(k, vector_set(LN2_LOW));
	r = vector_sub(high, low);
	c = vector_sub(vector_sub(high, r), low);

	r2 = vector_mul(r, r);
	bracket = vector_add(vector_set(0.5),
						 vector_mul(r, vector_exp_polynomial(r, r2)));
	result = vector_add(vector_set(1.0),
						vector_add(r, vector_add(c, vector_mul(r2, bracket))));

	/* the first product is exact, and so is the second unless subnormal */
	return vector_mul(vector_mul(result, vector_power(shifted)),
					  vector_set(0x1p-128));
}

#endif							/* CT_EXP_H */
