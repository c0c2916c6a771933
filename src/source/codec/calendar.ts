import type { Scanner } from './scanner.js';

/** 2000-01-01, where Postgres counts from, in days and in microseconds since 1970-01-01. */
export const POSTGRES_EPOCH_DAYS = 10_957;
export const POSTGRES_EPOCH_MICROS = 946_684_800_000_000;
export const DAY_MICROS = 86_400_000_000;

const MINUS = 0x2d;
const COLON = 0x3a;
const DAYS_IN_MONTH = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/** The Gregorian calendar repeats after 400 years. */
const DAYS_PER_ERA = 146_097;
const DAYS_TO_1970 = 719_468;

/**
 * Days since 1970-01-01 of a date in the proleptic Gregorian calendar.
 * @param year astronomical: 0 is 1 BC
 * @see http://howardhinnant.github.io/date_algorithms.html, days_from_civil
 */
export function daysFromCivil(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year; // years that begin in March have their leap day last
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * DAYS_PER_ERA + dayOfEra - DAYS_TO_1970;
}

/** `YYYY-MM-DD` as DateStyle ISO prints it; ` BC` may follow at the end of the text, after the time. */
export class CivilDate {
  year = 0;
  month = 0;
  day = 0;

  /** False where the text has another form. */
  scan(scanner: Scanner): boolean {
    this.year = scanner.digits(4, 7);
    if (this.year <= 0 || !scanner.take(MINUS)) return false;
    this.month = scanner.digits(2, 2);
    if (this.month < 1 || this.month > 12 || !scanner.take(MINUS)) return false;
    this.day = scanner.digits(2, 2);
    return this.day >= 1 && this.day <= DAYS_IN_MONTH[this.month - 1]!;
  }

  /** Days since 1970-01-01, once the era is known. */
  days(scanner: Scanner): number {
    const year = scanner.takeWord(' BC') ? 1 - this.year : this.year;
    return daysFromCivil(year, this.month, this.day);
  }
}

/** `HH:MM:SS[.ffffff]` up to 24:00:00 in microseconds; -1 where the text has another form. */
export function scanTimeOfDay(scanner: Scanner): number {
  const hour = scanner.digits(2, 2);
  if (hour < 0 || !scanner.take(COLON)) return -1;
  const minute = scanner.digits(2, 2);
  if (minute < 0 || minute > 59 || !scanner.take(COLON)) return -1;
  const second = scanner.digits(2, 2);
  if (second < 0 || second > 59) return -1;
  const fraction = scanner.microseconds();
  if (fraction < 0) return -1;
  const micros = ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction;
  return micros <= DAY_MICROS ? micros : -1;
}

/** `+HH[:MM[:SS]]`, seconds east of UTC; NaN where the text has another form. */
export function scanZone(scanner: Scanner): number {
  const sign = scanner.take(MINUS) ? -1 : scanner.takeWord('+') ? 1 : 0;
  const hour = scanner.digits(2, 2);
  if (sign === 0 || hour < 0) return Number.NaN;
  const minute = scanner.take(COLON) ? scanner.digits(2, 2) : 0;
  const second = scanner.take(COLON) ? scanner.digits(2, 2) : 0;
  if (minute < 0 || second < 0 || minute > 59 || second > 59) return Number.NaN;
  return sign * ((hour * 60 + minute) * 60 + second);
}
