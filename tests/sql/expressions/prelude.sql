-- What PostgreSQL raises an error for, and what our types are wider for, as NULL and as they are by
-- STREAM_SQL.md: an integer result that fits neither 64-bit type is NULL, x / 0 is NULL, what fails is NULL.
SET client_min_messages = warning;
CREATE FUNCTION hw_int(v numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  IF v BETWEEN -9223372036854775808 AND 18446744073709551615 THEN RETURN v; END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION hw_int64(v numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  IF v BETWEEN -9223372036854775808 AND 9223372036854775807 THEN RETURN v; END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION hw_uint64(v numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  IF v BETWEEN 0 AND 18446744073709551615 THEN RETURN v; END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION hw_int64_of_float(v float8) RETURNS numeric LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN v::bigint::numeric;
EXCEPTION WHEN data_exception THEN RETURN NULL;
END $$;
CREATE FUNCTION hw_int64_of_text(v text) RETURNS numeric LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN v::bigint::numeric;
EXCEPTION WHEN data_exception THEN RETURN NULL;
END $$;
CREATE FUNCTION hw_float_of_text(v text) RETURNS float8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  -- Whether it reads hexadecimal digits depends on its platform.
  IF v ~* '0x' THEN RETURN NULL; END IF;
  RETURN nullif(nullif(nullif(v::float8, 'infinity'), '-infinity'), 'nan');
EXCEPTION WHEN data_exception THEN RETURN NULL;
END $$;
CREATE FUNCTION hw_bool_of_text(v text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN v::boolean;
EXCEPTION WHEN data_exception THEN RETURN NULL;
END $$;

-- PostgreSQL raises an error where a float result would be infinite (here NULL) and where it would vanish
-- (here zero, as IEEE 754 has it).
CREATE FUNCTION hw_add(a float8, b float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN a + b;
EXCEPTION WHEN numeric_value_out_of_range THEN RETURN NULL;
END $$;
CREATE FUNCTION hw_multiply(a float8, b float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN a * b;
EXCEPTION WHEN numeric_value_out_of_range THEN
  IF abs(a) > 1 AND abs(b) > 1 THEN RETURN NULL; END IF;
  RETURN CASE WHEN sign(a) = sign(b) THEN '0'::float8 ELSE '-0'::float8 END;
END $$;
CREATE FUNCTION hw_divide(a float8, b float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  IF b = 0 THEN RETURN NULL; END IF;
  RETURN a / b;
EXCEPTION WHEN numeric_value_out_of_range THEN
  IF abs(a) >= abs(b) THEN RETURN NULL; END IF;
  RETURN CASE WHEN sign(a) = sign(b) THEN '0'::float8 ELSE '-0'::float8 END;
END $$;
CREATE FUNCTION hw_power(a float8, b float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN power(a, b);
EXCEPTION
  WHEN numeric_value_out_of_range THEN
    IF (abs(a) > 1) = (b > 0) THEN RETURN NULL; END IF;
    RETURN CASE WHEN a < 0 AND mod(b::numeric, 2) <> 0 THEN '-0'::float8 ELSE '0'::float8 END;
  WHEN data_exception THEN RETURN NULL;
END $$;
CREATE FUNCTION hw_exp(a float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN exp(a);
EXCEPTION WHEN numeric_value_out_of_range THEN
  RETURN CASE WHEN a < 0 THEN 0 END;
END $$;
CREATE FUNCTION hw_sqrt(a float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  IF a < 0 THEN RETURN NULL; END IF;
  RETURN sqrt(a);
END $$;
CREATE FUNCTION hw_ln(a float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  IF a <= 0 THEN RETURN NULL; END IF;
  RETURN ln(a);
END $$;
CREATE FUNCTION hw_log10(a float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  IF a <= 0 THEN RETURN NULL; END IF;
  RETURN log10(a);
END $$;
CREATE FUNCTION hw_log2(a float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  IF a <= 0 THEN RETURN NULL; END IF;
  RETURN ln(a) / ln(2::float8);
END $$;
CREATE FUNCTION hw_degrees(a float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN degrees(a);
EXCEPTION WHEN numeric_value_out_of_range THEN RETURN NULL;
END $$;
CREATE FUNCTION hw_radians(a float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN radians(a);
EXCEPTION WHEN numeric_value_out_of_range THEN RETURN 0;
END $$;
-- Halves away from zero, as the number is written in decimal.
CREATE FUNCTION hw_round(a float8, places int) RETURNS float8 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN round(a::text::numeric, places)::float8;
EXCEPTION WHEN numeric_value_out_of_range THEN RETURN NULL;
END $$;

-- A float in its shortest form, which begins to have an exponent elsewhere, without plus and leading zeros.
CREATE FUNCTION hw_text_of_float(a float8) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  IF a = 0 THEN RETURN a::text; END IF;
  IF abs(a) >= 1e-5 AND abs(a) < 1e15 THEN RETURN a::text::numeric::text; END IF;
  RETURN regexp_replace(replace(a::text, 'e+', 'e'), 'e(-?)0+', 'e\1');
END $$;
CREATE FUNCTION hw_substr(v text, start int, size int) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  IF size < 0 THEN RETURN NULL; END IF;
  RETURN substr(v, start, size);
END $$;
CREATE FUNCTION hw_split_part(v text, by text, part int) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  IF part = 0 THEN RETURN NULL; END IF;
  RETURN split_part(v, by, part);
END $$;
CREATE FUNCTION hw_ends_with(v text, part text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN right(v, length(part)) = part;
END $$;

-- Times are nanoseconds in 64 bits.
CREATE FUNCTION hw_time(v timestamptz) RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  IF v BETWEEN '1677-09-21 00:12:43.145225Z' AND '2262-04-11 23:47:16.854775Z' THEN RETURN v; END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION hw_span(v interval) RETURNS interval LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  IF abs(extract(epoch from v)) <= 9223372036.854775 THEN RETURN v; END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION hw_time_of_seconds(v numeric) RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  IF abs(v) <= 9223372036 THEN RETURN to_timestamp(v::float8); END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION hw_time_of_text(v text) RETURNS timestamptz LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
  -- PostgreSQL reads much more than the forms of ISO 8601.
  IF v !~* '^\s*\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?\s*$' THEN RETURN NULL; END IF;
  RETURN hw_time(v::timestamptz);
EXCEPTION WHEN data_exception THEN RETURN NULL;
END $$;
CREATE FUNCTION hw_text_of_time(v timestamptz) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN to_char(v at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
    || rtrim(rtrim(to_char(v at time zone 'UTC', '.US'), '0'), '.') || 'Z';
END $$;
