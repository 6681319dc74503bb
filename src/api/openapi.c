/* openapi.json, made from the table of routes and the table of schemas. */
#include "api/api_priv.h"

#include <stdio.h>
#include <string.h>

static void
put_schema_ref(struct buffer *out, const char *schema)
{
    char ref[96];
    snprintf(ref, sizeof ref, "#/components/schemas/%s", schema);
    json_name(out, "schema");
    json_open(out, '{');
    json_put_str(out, "$ref", str_from(ref));
    json_close(out, '}');
}

static void
write_content(struct buffer *out, const char *media, const char *schema)
{
    json_name(out, media);
    json_open(out, '{');
    if (schema != NULL)
        put_schema_ref(out, schema);
    json_close(out, '}');
}

static void
write_parameter(struct buffer *out, const char *name, const char *in, const char *summary)
{
    json_open(out, '{');
    json_put_str(out, "name", str_from(name));
    json_put_str(out, "in", str_from(in));
    json_put_bool(out, "required", strcmp(in, "path") == 0);
    if (summary != NULL)
        json_put_str(out, "description", str_from(summary));
    json_name(out, "schema");
    json_raw(out, STR("{\"type\":\"string\"}"));
    json_close(out, '}');
}

static void
write_parameters(struct buffer *out, const struct route *route)
{
    json_name(out, "parameters");
    json_open(out, '[');
    if (strstr(route->path, "{id}") != NULL)
        write_parameter(out, "id", "path", NULL);
    for (const struct parameter *p = route->query; p != NULL && p->name != NULL; p++)
        write_parameter(out, p->name, "query", p->summary);
    json_close(out, ']');
}

static void
write_answer(struct buffer *out, const char *status, const char *summary, const char *media,
             const char *schema)
{
    json_name(out, status);
    json_open(out, '{');
    json_put_str(out, "description", str_from(summary));
    json_name(out, "content");
    json_open(out, '{');
    write_content(out, media, schema);
    json_close(out, '}');
    json_close(out, '}');
}

/* What a route may answer beside its own, by what its row says. */
static void
write_answers(struct buffer *out, const struct route *route)
{
    const char *ok = strcmp(route->method, "POST") == 0 && route->body_schema != NULL &&
                             route->run != RUN_INGEST && strstr(route->path, "backtest") == NULL
                         ? "201"
                         : "200";
    const char *media = strcmp(route->path, "/metrics") == 0 ? "text/plain" : "application/json";
    json_name(out, "responses");
    json_open(out, '{');
    if (strcmp(route->path, "/api/v1/events") == 0 && strcmp(route->method, "POST") == 0)
        write_answer(out, "201", "Stored.", media, route->answer_schema);
    write_answer(out, ok, "As asked.", media, route->answer_schema);
    if (route->roles != 0) {
        write_answer(out, "401", "No key, or not one of ours.", "application/json", "Error");
        write_answer(out, "403", "The key's role does not open this.", "application/json", "Error");
        write_answer(out, "429", "The key's rate is used up; see Retry-After.", "application/json",
                     "Error");
    }
    if (strstr(route->path, "{id}") != NULL)
        write_answer(out, "404", "No such thing.", "application/json", "Error");
    if (route->media != 0) {
        write_answer(out, "400", "Not JSON.", "application/json", "Error");
        write_answer(out, "413", "Too large.", "application/json", "Error");
        write_answer(out, "415", "Not a media type this route takes.", "application/json", "Error");
    }
    write_answer(out, "422", "A field or parameter is wrong; the message names it.",
                 "application/json", "Error");
    write_answer(out, "503", "Overloaded, or storage does not answer; see Retry-After.",
                 "application/json", "Error");
    if (route->handle == ingest_one || route->handle == ingest_fusionauth) {
        write_answer(out, "409", "A transaction holds this idempotency key; see Retry-After.",
                     "application/json", "Error");
        write_answer(out, "504", "Too few webhooks agreed; nothing was stored.", "application/json",
                     "TransactionError");
    }
    json_close(out, '}');
}

static void
write_roles(struct buffer *out, const struct route *route)
{
    static const struct {
        unsigned bit;
        const char *name;
    } roles[] = {{ROLE_INGEST, "ingest"},
                 {ROLE_READ, "read"},
                 {ROLE_TRIAGE, "triage"},
                 {ROLE_ADMIN, "admin"}};
    json_name(out, "x-roles");
    json_open(out, '[');
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        if ((route->roles & roles[i].bit) != 0)
            json_str(out, str_from(roles[i].name));
    json_close(out, ']');
    json_name(out, "security");
    json_raw(out, route->roles != 0 ? STR("[{\"key\":[]}]") : STR("[]"));
}

static void
write_operation(struct buffer *out, const struct route *route)
{
    char method[8] = {0};
    for (size_t i = 0; i < sizeof method - 1 && route->method[i] != '\0'; i++)
        method[i] = (char)(route->method[i] | 0x20);
    json_name(out, method);
    json_open(out, '{');
    json_put_str(out, "summary", str_from(route->summary));
    write_roles(out, route);
    write_parameters(out, route);
    if (route->media != 0 && route->body_schema != NULL) {
        json_name(out, "requestBody");
        json_open(out, '{');
        json_put_bool(out, "required", true);
        json_name(out, "content");
        json_open(out, '{');
        write_content(out, "application/json", route->body_schema);
        if ((route->media & MEDIA_NDJSON) != 0)
            write_content(out, "application/x-ndjson", NULL);
        json_close(out, '}');
        json_close(out, '}');
    }
    write_answers(out, route);
    json_close(out, '}');
}

static bool
seen_before(size_t number)
{
    for (size_t i = 0; i < number; i++)
        if (strcmp(api_routes[i].path, api_routes[number].path) == 0)
            return true;
    return false;
}

static void
write_paths(struct buffer *out)
{
    json_name(out, "paths");
    json_open(out, '{');
    for (size_t i = 0; i < api_route_count; i++) {
        if (seen_before(i))
            continue;
        json_name(out, api_routes[i].path);
        json_open(out, '{');
        for (size_t j = i; j < api_route_count; j++)
            if (strcmp(api_routes[j].path, api_routes[i].path) == 0)
                write_operation(out, &api_routes[j]);
        json_close(out, '}');
    }
    json_close(out, '}');
}

void
api_write_openapi(struct buffer *out, const char *version)
{
    json_open(out, '{');
    json_put_str(out, "openapi", STR("3.1.0"));
    json_name(out, "info");
    json_open(out, '{');
    json_put_str(out, "title", STR("Tocsin"));
    json_put_str(out, "version", str_from(version));
    json_put_str(out, "description", STR("Login-security monitor: events in, alerts out."));
    json_close(out, '}');
    write_paths(out);
    json_name(out, "components");
    json_open(out, '{');
    json_name(out, "securitySchemes");
    json_raw(out, STR("{\"key\":{\"type\":\"http\",\"scheme\":\"bearer\"}}"));
    json_name(out, "schemas");
    json_open(out, '{');
    schemas_write(out);
    json_close(out, '}');
    json_close(out, '}');
    json_close(out, '}');
}
