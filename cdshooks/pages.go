// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: serving the evidence and receipt pages that cards link to.

import "github.com/gin-gonic/gin"

func (s *Service) serveEvidence(c *gin.Context) { s.plainError(c, ErrNoService) }

func (s *Service) serveReceipt(c *gin.Context) { s.plainError(c, ErrNoService) }
