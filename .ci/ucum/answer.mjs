// SPDX-License-Identifier: Apache-2.0
//
// Answers the questions of fhir/ucum/testdata/questions.json with
// @lhncbc/ucum-lhc, an implementation of UCUM by others:
//   node .ci/ucum/answer.mjs QUESTIONS.json > answers.json
// null is what it refuses. Numbers only; nothing of a patient is here.

import { readFileSync } from 'node:fs';
import ucumlhc from '@lhncbc/ucum-lhc';

const ucum = ucumlhc.UcumLhcUtils.getInstance();
const questions = JSON.parse(readFileSync(process.argv[2], 'utf8'));

// Its own chatter goes to the console; the answer is all that may go there.
console.log = console.error;

function convert({ value, from, to, weight = null, charge = null }) {
  const answer = ucum.convertUnitTo(from, value, to, { molecularWeight: weight, charge });
  return answer.status === 'succeeded' ? answer.toVal : null;
}

const answers = {
  conversions: questions.conversions.map(convert),
  substances: questions.substances.map(convert),
  valid: questions.texts.map((text) => ucum.validateUnitString(text).status === 'valid'),
};
process.stdout.write(JSON.stringify(answers, null, 1) + '\n');
