-- Workload B. Seed: 500,000 rows. Then call public.cdc_workload(10000): 10,000 transactions of 100 row changes
-- (70 updates, 20 inserts, 10 deletes; 5 of the updates hit rows deleted 50 transactions later). Deterministic.
-- Sluice makes its own publication. Not called here: bench calls it after the first sync.
drop table if exists public.accounts cascade;
create table public.accounts (id bigint primary key, owner text, balance numeric(12,2), meta jsonb, updated_at timestamptz);
insert into public.accounts
select i, 'owner-' || md5(i::text), (i * 7919 % 100000000)::numeric / 100,
  jsonb_build_object('tier', i % 5, 'tags', jsonb_build_array('a', 'b', (i % 17)::text), 'addr', md5((i * 3)::text)),
  timestamptz '2024-01-01 00:00:00+00' + i * interval '1 second'
from generate_series(1::bigint, 500000) i;
vacuum (freeze, analyze) public.accounts;
-- the x-th row that is never deleted (x < 400000: seeded; then the inserted ones)
create or replace function public.live_id(x bigint) returns bigint language sql immutable as
$$ select case when x < 400000 then 5 * (x / 4) + x % 4 + 2 else x + 100001 end $$;
create or replace procedure public.cdc_workload(n int) language plpgsql as $$
declare k bigint; m bigint; b bigint; ts timestamptz;
begin
  for k in 1..n loop
    m := 400000 + (k - 1) * 20; b := (k * 7919) % m; ts := timestamptz '2025-01-01 00:00:00+00' + k * interval '1 second';
    insert into public.accounts
      select i, 'new-' || md5(i::text), (i % 1000000)::numeric / 100,
             jsonb_build_object('tier', i % 5, 'addr', md5(i::text)), ts
      from generate_series(500001 + (k - 1) * 20, 500000 + k * 20) i;
    update public.accounts set balance = balance + 1.25, updated_at = ts
      where id = any (array(select public.live_id((b + j * 5003) % m) from generate_series(0, 39) j));
    update public.accounts set meta = meta || jsonb_build_object('n', k), updated_at = ts
      where id = any (array(select public.live_id((b + j * 5003) % m) from generate_series(40, 64) j));
    update public.accounts set owner = owner || '!', updated_at = ts
      where id = any (array(select 1 + 5 * d from generate_series((k + 49) * 10, (k + 49) * 10 + 4) d));
    delete from public.accounts
      where id = any (array(select 1 + 5 * d from generate_series((k - 1) * 10, k * 10 - 1) d));
    commit;
  end loop;
end $$;
checkpoint;
