// SPDX-License-Identifier: Apache-2.0

package main

// This file: the list of commands (design.md 8).

import "github.com/spf13/cobra"

func commands() []*cobra.Command {
	return []*cobra.Command{
		serveCommand(), decideCommand(),
		group("cohort", "Make trajectories from FHIR, and synthetic patients", cohortBuild(), cohortSynth(), cohortFetch()),
		group("train", "Train the models", trainWorld(), trainActor(), trainBaselines()),
		curriculumCommand(),
		group("evaluate", "Score models and decisions", evaluateWorld(), evaluatePolicy(), evaluateStays(), evaluateICUSepsis()),
		group("model", "Say which model this is, import one, or sign for it", modelInfo(), modelCard(), modelImport(), modelAccept()),
		group("rules", "List and test the safety rules", rulesList(), rulesTest()),
		group("audit", "Make, read and check the audit log", auditInit(), auditQuery(), auditRates(), auditShow(), auditStory(), auditAfterwards(), auditVerify(), auditMigrate(), auditCheckpoint(), auditProve(), auditCheck(), auditWitness(), auditErase(), auditHold(), auditBackup(), auditEncryptionKey(), auditReseal(), auditRotateKey(), auditReplay(), auditExport()),
		healthcheck(),
	}
}
