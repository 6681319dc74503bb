/* json_number - numbers as ECMAScript writes them (ECMA-262, 6.1.6.1.20,
 * Number::toString), which is what RFC 8785 asks for. */
#include "codec/json.h"
#include "codec/json_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* In the words of ECMA-262: k digits, and the value is 0.digits times 10 to the n. */
struct decimal {
    char digits[24];
    int k, n;
};

static struct decimal
decimal_of(double magnitude)
{
    char text[32];
    size_t len = simd_shortest(magnitude, text, sizeof text - 1);
    text[len] = '\0';

    struct decimal decimal = {.k = 0};
    size_t at = 0;
    for (; text[at] != 'e'; at++)
        if (text[at] != '.')
            decimal.digits[decimal.k++] = text[at];
    decimal.n = (int)strtol(text + at + 1, NULL, 10) + 1;
    return decimal;
}

static char *
put(char *at, const char *bytes, int len)
{
    memcpy(at, bytes, (size_t)len);
    return at + len;
}

static char *
put_zeros(char *at, int count)
{
    memset(at, '0', (size_t)count);
    return at + count;
}

static char *
put_integer(char *at, uint64_t number)
{
    char digits[20];
    int first = sizeof digits;
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return put(at, digits + first, (int)sizeof digits - first);
}

static char *
put_exponent(char *at, const struct decimal *decimal)
{
    int exponent = decimal->n - 1;
    *at++ = decimal->digits[0];
    if (decimal->k > 1) {
        *at++ = '.';
        at = put(at, decimal->digits + 1, decimal->k - 1);
    }
    *at++ = 'e';
    *at++ = exponent < 0 ? '-' : '+';
    return put_integer(at, (uint64_t)abs(exponent));
}

size_t
json_format_number(double number, char out[static JSON_NUMBER_SIZE])
{
    must(isfinite(number));

    char *at = out;
    if (number < 0) /* which -0 is not: it is written 0 */
        *at++ = '-';
    double magnitude = fabs(number);
    if (magnitude <= (double)JSON_SAFE_INT && magnitude == (double)(uint64_t)magnitude)
        return (size_t)(put_integer(at, (uint64_t)magnitude) - out);

    struct decimal decimal = decimal_of(magnitude);
    if (decimal.k <= decimal.n && decimal.n <= 21) {
        at = put(at, decimal.digits, decimal.k);
        at = put_zeros(at, decimal.n - decimal.k);
    } else if (decimal.n > 0 && decimal.n <= 21) {
        at = put(at, decimal.digits, decimal.n);
        *at++ = '.';
        at = put(at, decimal.digits + decimal.n, decimal.k - decimal.n);
    } else if (decimal.n > -6 && decimal.n <= 0) {
        at = put(at, "0.", 2);
        at = put_zeros(at, -decimal.n);
        at = put(at, decimal.digits, decimal.k);
    } else {
        at = put_exponent(at, &decimal);
    }
    return (size_t)(at - out);
}

void
json_write_integer(struct buffer *out, int64_t number)
{
    char text[JSON_NUMBER_SIZE], *at = text;
    uint64_t magnitude = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    if (number < 0)
        *at++ = '-';
    at = put_integer(at, magnitude);
    buffer_add_bytes(out, text, (size_t)(at - text));
}
