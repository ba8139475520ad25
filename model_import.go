// SPDX-License-Identifier: Apache-2.0

package main

// This file: `model import`.

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sepsisagent/sepsisagent/engine/world"
)

func modelImport() *cobra.Command {
	var from, out, config, version string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "import", Short: "Read published world-model weights, without running their code", Args: noArgs,
		Long: "Read the published world model and write it as a model folder of kind reference. The folder to read\n" +
			"holds state_model_log.pt and outcome.pt (or .safetensors), scaler_params_log.json and\n" +
			"episode_feature_config.json. Names, shapes, types, counts and the order of the inputs must be those of\n" +
			"the published architecture; anything else is refused. No code of a file is run. The published weights\n" +
			"have no licence and are not part of this product.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := require(cmd, "from", "out"); err != nil {
				return err
			}
			if _, err := os.Stat(filepath.Join(out, "model.json")); err == nil {
				return misuse("%s already holds a model (hint: choose another folder)", out)
			}
			cfg, err := loadConfig(config, os.Environ())
			if err != nil {
				return err
			}
			model, err := world.ImportReference(os.DirFS(from), ".", version, cfg.State)
			if err != nil {
				return fmt.Errorf("%s: %w", from, err)
			}
			if err := model.Write(out); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), model.Info())
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: kind %s, version %s, hash %s\n", out, model.Info().Kind, model.Info().Version, model.Info().Hash)
			return err
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "folder of the published files (required)")
	cmd.Flags().StringVar(&out, "out", "", "folder to write (required)")
	cmd.Flags().StringVar(&config, "config", "", "configuration file (for the level cut-points)")
	cmd.Flags().StringVar(&version, "version", "1.0.0", "version of the weights, named on every card")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}
