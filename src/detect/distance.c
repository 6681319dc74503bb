/* distance - along a great circle, by the haversine formula on a sphere of the earth's mean
 * radius. */
#include "detect/detect_priv.h"

#include <math.h>

static const double earth_radius_km = 6371.0088;

static double
radians(double degrees)
{
    return degrees * (3.14159265358979323846 / 180);
}

static double
half_chord_squared(double angle)
{
    double sine = sin(angle / 2);
    return sine * sine;
}

double
distance_km(double lat_a, double lon_a, double lat_b, double lon_b)
{
    double h =
        half_chord_squared(radians(lat_b - lat_a)) +
        cos(radians(lat_a)) * cos(radians(lat_b)) * half_chord_squared(radians(lon_b - lon_a));
    return 2 * earth_radius_km * asin(sqrt(fmin(1, h)));
}
