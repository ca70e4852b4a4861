# Fuller's replicates for benchmarks with an error, by R survey on made_up_logs.csv.
# Run from this directory: Rscript noisy_controls_made_up.R > noisy_controls_made_up.json
suppressMessages(library(survey))
d <- read.csv("made_up_logs.csv", stringsAsFactors = TRUE)
d$tCN <- d$tokens * (d$a == "CN")
design <- svydesign(~cluster, strata = ~stratum, fpc = ~population, weights = ~w, data = d)
jkn <- as.svrepdesign(design, type = "JKn")
totals <- setNames(c(280, 300, 620, 6700), c(paste0("a", levels(d$a)), "x"))
root <- matrix(c(9, 0, 0, 0, -4, 8, 0, 0, -5, -8, 2, 0, 60, 30, -20, 150), 4, byrow = TRUE)
covariance <- root %*% t(root)
e <- eigen(covariance, symmetric = TRUE)
vectors <- apply(e$vectors, 2, function(v) -v * sign(v[which.max(abs(v))]))
# The q first replicates carry one eigenvector each, over the root of the replicate's coefficient.
coefficient <- jkn$scale * jkn$rscales
shifted <- matrix(totals, length(coefficient), 4, byrow = TRUE)
for (k in 1:4) shifted[k, ] <- totals + vectors[, k] * sqrt(e$values[k] / coefficient[k])
calibrated <- function(w, to) {
  one <- svydesign(~1, weights = w, data = d)
  weights(calibrate(one, ~ 0 + a + x, setNames(to, names(totals)), epsilon = 1e-13, maxit = 200))
}
estimates <- function(w) c(mean_y = sum(w * d$y) / sum(w), total_tokens = sum(w * d$tokens),
                           share_CN = sum(w * d$tCN) / sum(w * d$tokens), total_x = sum(w * d$x),
                           total_CN = sum(w[d$a == "CN"]))
full <- estimates(calibrated(d$w, totals))
base <- weights(jkn, "analysis")
# A cluster that is left out has weight 0, which svydesign refuses: its rows go.
replicate <- function(r, to) {
  kept <- base[, r] > 0
  one <- svydesign(~1, weights = base[kept, r], data = d[kept, ])
  w <- numeric(nrow(d))
  w[kept] <- weights(calibrate(one, ~ 0 + a + x, setNames(to, names(totals)), epsilon = 1e-13,
                               maxit = 200))
  estimates(w)
}
se <- function(to) sqrt(colSums(coefficient * (t(sapply(seq_along(coefficient),
  function(r) replicate(r, to[r, ]))) - rep(full, each = length(coefficient)))^2))
fixed <- matrix(totals, length(coefficient), 4, byrow = TRUE)
json <- function(x) paste0("[", paste(format(as.numeric(x), digits = 17), collapse = ", "), "]")
cat(sprintf('{"software": "%s, survey %s, run 2026-11-27",\n', R.version.string,
            packageVersion("survey")))
cat(sprintf('"covariance": %s,\n"values": %s,\n"se_fixed": %s,\n"se_noisy": %s}\n', json(covariance),
            json(full), json(se(fixed)), json(se(shifted))))
