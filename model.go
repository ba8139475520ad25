// SPDX-License-Identifier: Apache-2.0

package main

// This file: `model info` and `model card`.

import (
	"fmt"

	"github.com/spf13/cobra"
)

func modelInfo() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "info", Short: "Say which model this is, after checking its weights", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := openModel(dir)
			if err != nil {
				return err
			}
			info := m.Info()
			if asJSON {
				return printJSON(cmd.OutOrStdout(), info)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "kind    %s\nversion %s\nmembers %d\nhash    %s\ntrained %s\n", info.Kind, info.Version, info.Members, info.Hash, info.Trained)
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "model", "", "folder of the model (default: the embedded one)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func modelCard() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "card", Short: "Print the model card", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := openModel(dir)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(m.Card())
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "model", "", "folder of the model (default: the embedded one)")
	return cmd
}
