// SPDX-License-Identifier: Apache-2.0

package main

// This file: `healthcheck`, for container images that hold nothing but this
// binary: it asks the running service whether it is alive.

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
)

const healthTimeout = 2 * time.Second

func healthcheck() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use: "healthcheck", Short: "Ask the running service whether it is alive", Args: noArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(config, os.Environ())
			if err != nil {
				return err
			}
			return probe(cmd.Context(), cfg.HTTP.Addr)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration file")
	return cmd
}

// probe asks for /healthz on the address the service listens on, over the
// loopback where it listens on every address.
func probe(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("http.addr: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("not alive: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not alive: /healthz answers %s", resp.Status)
	}
	return nil
}
