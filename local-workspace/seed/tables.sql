CREATE TABLE main.sales.orders (
  order_id BIGINT, country STRING, total DECIMAL(12,2), ordered_at TIMESTAMP, paid BOOLEAN,
  note STRING, lines ARRAY<STRUCT<sku: STRING, qty: INT>>
);

INSERT INTO main.sales.orders VALUES
  (9007199254740993, 'FR', 129.90, TIMESTAMP'2026-03-12T08:15:44.512Z', true, NULL, array(named_struct('sku', 'A-17', 'qty', 2))),
  (9007199254740994, 'PT', 54.25, TIMESTAMP'2026-03-12T08:16:02Z', false, 'gift', array()),
  (9007199254740995, NULL, 0.00, NULL, NULL, NULL, NULL),
  (9007199254740996, 'FR', 1249.00, TIMESTAMP'2026-03-12T09:03:27.080Z', true, 'leave at the door', array(named_struct('sku', 'B-02', 'qty', 1), named_struct('sku', 'C-40', 'qty', 12))),
  (9007199254740997, 'DE', 18.75, TIMESTAMP'2026-03-13T17:48:10Z', true, NULL, array(named_struct('sku', 'A-17', 'qty', 1))),
  (9007199254740998, 'PT', 9999999999.99, TIMESTAMP'2026-03-14T23:59:59.999Z', false, 'Ação "Verão", 20 % off', array(named_struct('sku', 'Z-99', 'qty', 100000)));

CREATE TABLE main.sales.countries (code STRING, name STRING, vat DOUBLE);

INSERT INTO main.sales.countries VALUES ('DE', 'Germany', 0.19), ('FR', 'France', 0.2), ('PT', 'Portugal', 0.23);

CREATE TABLE samples.nyctaxi.trips (
  tpep_pickup_datetime TIMESTAMP, tpep_dropoff_datetime TIMESTAMP, trip_distance DOUBLE,
  fare_amount DOUBLE, pickup_zip INT, dropoff_zip INT
);

INSERT INTO samples.nyctaxi.trips VALUES
  (TIMESTAMP'2016-02-13T21:47:53Z', TIMESTAMP'2016-02-13T21:57:15Z', 1.4, 8.0, 10103, 10110),
  (TIMESTAMP'2016-02-13T18:29:09Z', TIMESTAMP'2016-02-13T18:37:23Z', 1.31, 7.5, 10023, 10023),
  (TIMESTAMP'2016-02-06T19:40:58Z', TIMESTAMP'2016-02-06T19:52:32Z', 1.8, 9.5, 10001, 10018),
  (TIMESTAMP'2016-02-12T19:06:43Z', TIMESTAMP'2016-02-12T19:20:54Z', 2.3, 11.5, 10044, 10111);
